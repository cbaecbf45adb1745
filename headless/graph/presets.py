"""`--preset FILE`: a preset on every stack of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from ...ground.errors import UserError
from .model import Graph, Link, Node, Value
from .registry import Registry

STACK, PRESET, ROWS = "CONTROL_STACK", "ControlStackPreset", "ControlStackRows"


def with_preset(graph: Graph, registry: Registry, text: str, title: str) -> Graph:
    """`graph` with a Control Preset of `text`, called `title`, before each node that takes a stack
    and gives none: those that apply it or show it. The graph has no canvas then.

    Raises UserError where there is no stack.
    """
    ids = (str(number) for number in count(1) if str(number) not in graph.nodes)
    made: dict[Link, Node] = {}
    changed: dict[str, Node] = {}
    for node in _with_apply(graph, ids).values():
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


_APPLIES = {
    "ControlStackApply": ({"model": 0}, ("record",)),
    "ControlStackApplyConditioning": ({"positive": 2, "negative": 3}, ("vae",)),
}
"""What a ControlNet Stack does beside its rows: by node, the inputs with the outputs that they come
out of there (here they are the first ones), and what else that node is told."""


def _with_apply(graph: Graph, ids: Iterator[str]) -> dict[str, Node]:
    """The nodes with each ControlNet Stack as one that gives a stack, and an Apply behind it."""
    nodes, moved = dict(graph.nodes), dict[Link, Value]()
    for node in graph.nodes.values():
        for kind, (through, told) in _APPLIES.items() if node.type == ROWS else ():
            given = {name: node.inputs[name] for name in through if name in node.inputs}
            if not given:
                continue
            also = {name: node.inputs[name] for name in told if name in node.inputs}
            apply = Node(next(ids), kind, {**given, **also, "stack": Link(node.id, 1)}, kind)
            nodes[apply.id] = apply
            moved |= {
                Link(node.id, old): Link(apply.id, i) for i, old in enumerate(through.values())
            }
            left = {n: v for n, v in nodes[node.id].inputs.items() if n not in through}
            nodes[node.id] = replace(node, inputs=left)
    return {key: node.rewired(moved) for key, node in nodes.items()}


def _ends(node: Node, registry: Registry) -> Iterator[tuple[str, Link]]:
    """The inputs of a node in which a chain of stacks ends."""
    spec = registry.spec(node.type)
    if STACK in spec.outputs:
        return
    for name, declared in spec.inputs.items():
        value = node.inputs.get(name)
        if STACK in declared.type.split(",") and isinstance(value, Link):
            yield name, value
