"""ControlNets that a command names by their place, put into a graph without being installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...ground.errors import UserError
from ...ground.wording import listing
from ..models import inspect
from .model import Graph, Node
from .named_files import named_files
from .override import Target, nodes_of, targets, with_input
from .presets import ROWS
from .registry import Registry

_CHECKPOINT = "network"
"""Where the network lies in a checkpoint of a training."""


@dataclass(frozen=True)
class Given:
    """`graph` with the nets in it, and where they are, by the names it calls them."""

    graph: Graph
    places: Mapping[str, Path]


def with_nets(graph: Graph, registry: Registry, texts: Sequence[str]) -> Given:
    """`graph` with each net of `texts`, "PATH", "NODE=PATH" or "NODE.INPUT=PATH", in a loader.

    NODE is what `--set` takes for a node; without it there has to be one loader of one net alone.
    Raises UserError for what is no ControlNet, for a node that is no loader, and for loaders or
    inputs to choose between.
    """
    places: dict[str, Path] = {}
    for text in texts:
        node, equals, name = text.partition("=")
        if not equals or Path(text).exists():
            node, name = "", text
        path = _net(name)
        called = path.name if places.get(path.name, path) == path else str(path)
        places[called] = path
        for one in _places(graph, registry, node):
            graph = with_input(graph, one.spec, one.node.id, one.input.name, called)
    return Given(graph, places)


def _net(text: str) -> Path:
    path = Path(text).expanduser()
    if (path / _CHECKPOINT).is_dir():
        path = path / _CHECKPOINT
    inspect.check(path, "controlnet")
    return path


def _places(graph: Graph, registry: Registry, node: str) -> list[Target]:
    """The inputs that a net goes into."""
    if not node:
        return targets(graph, registry, _only_loader(graph, registry))
    if "." in node and not nodes_of(graph, node):
        given = targets(graph, registry, node)
        for one in given:
            if not _loads(registry, one.node, one.input.name):
                raise UserError(
                    f"--control-net: input {one.input.name} of {one.node.label} names no ControlNet"
                )
        return given
    found = nodes_of(graph, node, required=True)
    return [one for each in found for one in _place_at(graph, registry, each)]


def _place_at(graph: Graph, registry: Registry, node: Node) -> list[Target]:
    names = [name for name in registry.model_files(node.type) if _loads(registry, node, name)]
    if not names:
        raise UserError(
            f"--control-net: {node.label} loads no ControlNet by its name; name a node that does"
        )
    if len(names) > 1:
        raise _several(node, names)
    return targets(graph, registry, f"{node.id}.{names[0]}")


def _only_loader(graph: Graph, registry: Registry) -> str:
    """The one input by which a net is loaded, as "3.control_net_name"."""
    files = named_files(graph, registry)
    loading = [one for one in files if _loads(registry, one.node, one.input)]
    if not loading:
        raise UserError("--control-net has no use: no node of this workflow loads a ControlNet")
    node, nodes = loading[0].node, list(dict.fromkeys(one.node.label for one in loading))
    if len(nodes) > 1:
        raise UserError(
            f"--control-net: {len(nodes)} nodes load ControlNets, {listing(nodes)}; write "
            f"--control-net NODE=PATH, such as {node.id}=PATH"
        )
    if len(loading) > 1:
        raise _several(node, [one.input for one in loading])
    return f"{node.id}.{loading[0].input}"


def _loads(registry: Registry, node: Node, name: str) -> bool:
    """Whether an input is the name of a ControlNet; a ControlNet Stack has a list of rows."""
    return registry.model_files(node.type).get(name) == "controlnet" and node.type != ROWS


def _several(node: Node, names: Sequence[str]) -> UserError:
    return UserError(
        f"--control-net: {node.label} loads ControlNets at {listing(names)}; write "
        f"--control-net NODE.INPUT=PATH, such as {node.id}.{names[0]}=PATH"
    )
