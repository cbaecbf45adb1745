"""The model files that a graph's nodes name, as their classes say it (MODEL_FILES)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...nodes.rows import files_of
from .model import Graph, Link, Node, Value
from .registry import Registry

_NONE = frozenset({"", "none", "baked vae"})
"""What menus of files have for none of them, in small letters."""


@dataclass(frozen=True)
class NamedFile:
    """A file of a `kind` of models ("controlnet") that an input of a node names."""

    node: Node
    input: str
    kind: str
    name: str


def named_files(graph: Graph, registry: Registry) -> Iterator[NamedFile]:
    """The files that nodes of known types name, in the graph's order; those of a ControlNet Stack's
    rows too."""
    for node in graph.nodes.values():
        for name, kind in registry.model_files(node.type).items():
            for file in _names(node.inputs.get(name)):
                yield NamedFile(node, name, kind, file)


def net_file(graph: Graph, registry: Registry, value: Value) -> str:
    """The file of the ControlNet that a link brings, through nodes that change the net; "" where
    none tells it."""
    seen = set[str]()
    while isinstance(value, Link) and value.node in graph.nodes and value.node not in seen:
        seen.add(value.node)
        inputs = graph.nodes[value.node].inputs
        for name, kind in registry.model_files(graph.nodes[value.node].type).items():
            file = inputs.get(name)
            if kind == "controlnet" and isinstance(file, str):
                return file
        value = inputs.get("control_net")
    return ""


def names_none(text: str) -> bool:
    """Whether a menu of files means none of them by `text`."""
    return text.lower() in _NONE


def _names(value: Value) -> list[str]:
    names = [value] if isinstance(value, str) else files_of(value)
    return [name for name in names if not names_none(name)]
