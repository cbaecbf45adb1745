"""The order of a run, where nodes may do without some inputs: `lazy` ones, by the core's rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter

from .model import Graph, Link, Node
from .needed import needed_nodes, origins
from .registry import NodeSpec


def in_turn(
    graph: Graph,
    specs: Mapping[str, NodeSpec],
    ask: Callable[[Node], Collection[str]],
    outputs: Collection[str] | None = None,
) -> Iterator[Node]:
    """The nodes that the outputs need, or those among `outputs`, each after those that it needs
    itself.

    What feeds a lazy input comes only once `ask` has it among a node's inputs. A node is asked when
    the others of its inputs are made, and again after what it asked for, until it asks no more.
    """
    put_off = {node.id: lazy_links(node, specs[node.type]) for node in graph.nodes.values()}
    done: set[str] = set()
    while True:
        now = {key: _without(node, put_off[key]) for key, node in graph.nodes.items()}
        cut = replace(graph, nodes=now)
        edges = {key: origins(now[key], specs) for key in needed_nodes(cut, specs, outputs)}
        for key in TopologicalSorter(edges).static_order():
            if key in done:
                continue
            if put_off[key] and (wanted := put_off[key].intersection(ask(graph.nodes[key]))):
                put_off[key] -= wanted
                break
            done.add(key)
            yield graph.nodes[key]
        else:
            return


def lazy_links(node: Node, spec: NodeSpec) -> set[str]:
    """The inputs that come through links and that the node's `check_lazy_status` may leave out."""
    if not hasattr(spec.cls, "check_lazy_status"):
        return set()
    return {
        name
        for name, declared in spec.inputs.items()
        if declared.options.get("lazy") and isinstance(node.inputs.get(name), Link)
    }


def _without(node: Node, names: Collection[str]) -> Node:
    if not names:
        return node
    return replace(node, inputs={k: value for k, value in node.inputs.items() if k not in names})
