"""ControlNets that a command names by their place, put into a graph without being installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...ground.errors import UserError
from ...ground.wording import listing
from ..models import inspect
from .model import Graph, Node
from .override import targets, with_input
from .registry import Registry

INPUT = "control_net_name"
"""The input by which every loader of ControlNets names its file."""
_CHECKPOINT = "network"
"""Where the network lies in a checkpoint of a training."""


@dataclass(frozen=True)
class Given:
    """`graph` with the nets in it, and where they are, by the names it calls them."""

    graph: Graph
    places: Mapping[str, Path]


def with_nets(graph: Graph, registry: Registry, texts: Sequence[str]) -> Given:
    """`graph` with each net of `texts`, "PATH" or "NODE=PATH", in a loader.

    NODE is what `--set` takes for a node; without it there has to be one loader alone. Raises
    UserError for what is no ControlNet, for a node that is no loader, and for loaders to choose
    between.
    """
    places: dict[str, Path] = {}
    for text in texts:
        node, equals, name = text.partition("=")
        if not equals or Path(text).exists():
            node, name = "", text
        path = _net(name)
        called = path.name if places.get(path.name, path) == path else str(path)
        places[called] = path
        graph = _put(graph, registry, node or _only_loader(graph, registry), called)
    return Given(graph, places)


def _net(text: str) -> Path:
    path = Path(text).expanduser()
    if (path / _CHECKPOINT).is_dir():
        path = path / _CHECKPOINT
    inspect.check(path, "controlnet")
    return path


def _put(graph: Graph, registry: Registry, node: str, name: str) -> Graph:
    for one in targets(graph, registry, f"{node}.{INPUT}"):
        graph = with_input(graph, one.spec, one.node.id, INPUT, name)
    return graph


def _only_loader(graph: Graph, registry: Registry) -> str:
    loaders = [node for node in graph.nodes.values() if _loads(node, registry)]
    if len(loaders) == 1:
        return loaders[0].id
    if not loaders:
        raise UserError("--control-net has no use: no node of this workflow loads a ControlNet")
    raise UserError(
        f"--control-net: {len(loaders)} nodes load ControlNets, "
        f"{listing(node.label for node in loaders)}; write --control-net NODE=PATH, such as "
        f"{loaders[0].id}=PATH"
    )


def _loads(node: Node, registry: Registry) -> bool:
    spec = registry.get(node.type)
    return spec is not None and INPUT in spec.inputs
