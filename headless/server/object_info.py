"""The nodes of this host as ComfyUI tells them at `/object_info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ground.log import log
from ...nodes import NODE_DISPLAY_NAME_MAPPINGS
from ..graph.packs import CORE, declared_pack
from ..graph.registry import NodeClass, Registry
from .answers import Route, aside, json_of
from .house import House

CORE_MODULE, PACK_MODULES = "nodes", "custom_nodes."
"""Where a node comes from, as the front end reads it: others than ComfyUI's own have the badge of
the pack that they are from.
"""

MARKS = (("DEPRECATED", "deprecated"), ("EXPERIMENTAL", "experimental"), ("DEV_ONLY", "dev_only"))

Info = dict[str, Any]


class Nodes:
    """Answers what nodes there are."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [("GET", "/object_info", self.all), ("GET", "/object_info/{name}", self.one)]

    async def all(self, request: Any) -> Any:
        """Every node."""
        with self._house.open():
            return json_of(await aside(object_info, self._house.registry))

    async def one(self, request: Any) -> Any:
        """One node, by its id; nothing for one that this host lacks."""
        name = request.match_info["name"]
        cls = self._house.registry.class_of(name)
        with self._house.open():
            return json_of({} if cls is None else {name: await aside(node_info, name, cls)})


def object_info(registry: Registry) -> dict[str, Info]:
    """Every node of `registry`. One that cannot be told is left out, and the log says why."""
    found: dict[str, Info] = {}
    for name, cls in registry.classes.items():
        try:
            found[name] = node_info(name, cls)
        except Exception as error:
            log.warning("the node %s is not told: %s", name, error)
    return found


def node_info(name: str, cls: NodeClass) -> Info:
    """One node, V1: what its class declares (ComfyUI's `server.py`, `node_info`)."""
    inputs: Mapping[str, Mapping[str, Any]] = cls.INPUT_TYPES()
    outputs = tuple(cls.RETURN_TYPES)
    pack = declared_pack(name, cls)
    info: Info = {
        "input": inputs,
        "input_order": {section: list(fields) for section, fields in inputs.items()},
        "is_input_list": getattr(cls, "INPUT_IS_LIST", False),
        "output": outputs,
        "output_is_list": getattr(cls, "OUTPUT_IS_LIST", None) or [False] * len(outputs),
        "output_name": getattr(cls, "RETURN_NAMES", None) or outputs,
        "name": name,
        "display_name": NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
        "description": getattr(cls, "DESCRIPTION", ""),
        "python_module": CORE_MODULE if pack == CORE else PACK_MODULES + pack,
        "category": getattr(cls, "CATEGORY", "sd"),
        "output_node": getattr(cls, "OUTPUT_NODE", False) is True,
        "has_intermediate_output": getattr(cls, "HAS_INTERMEDIATE_OUTPUT", False) is True,
        "search_aliases": getattr(cls, "SEARCH_ALIASES", []),
    }
    if tooltips := getattr(cls, "OUTPUT_TOOLTIPS", None):
        info["output_tooltips"] = tooltips
    if essentials := getattr(cls, "ESSENTIALS_CATEGORY", None):
        info["essentials_category"] = essentials
    return info | {key: True for mark, key in MARKS if getattr(cls, mark, False)}
