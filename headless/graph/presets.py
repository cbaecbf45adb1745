"""`--preset FILE`: a preset on every stack of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from ...ground.errors import UserError
from .model import Graph, Link, Node
from .registry import Registry

STACK, PRESET = "CONTROL_STACK", "ControlStackPreset"


def with_preset(graph: Graph, registry: Registry, text: str, title: str) -> Graph:
    """`graph` with a Control Preset of `text`, called `title`, before each node that takes a stack
    and gives none: those that apply it or show it. The graph has no canvas then.

    Raises UserError where there is no stack.
    """
    ids = (str(number) for number in count(1) if str(number) not in graph.nodes)
    made: dict[Link, Node] = {}
    changed: dict[str, Node] = {}
    for node in graph.nodes.values():
        inputs = dict(node.inputs)
        for name, link in _ends(node, registry):
            if link not in made:
                made[link] = Node(next(ids), PRESET, {"stack": link, "preset": text}, title)
            inputs[name] = Link(made[link].id, 0)
        changed[node.id] = replace(node, inputs=inputs)
    if not made:
        raise UserError(
            "there is no stack to put the preset on: no Apply ControlNet Stack of this workflow is "
            "given one"
        )
    added = {node.id: node for node in made.values()}
    return replace(graph, nodes={**changed, **added}, workflow=None)


def _ends(node: Node, registry: Registry) -> Iterator[tuple[str, Link]]:
    """The inputs of a node in which a chain of stacks ends."""
    spec = registry.spec(node.type)
    if STACK in spec.outputs:
        return
    for name, declared in spec.inputs.items():
        value = node.inputs.get(name)
        if STACK in declared.type.split(",") and isinstance(value, Link):
            yield name, value
