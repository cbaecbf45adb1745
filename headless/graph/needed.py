"""What the outputs of a graph need, also where it has node types that are not known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from .model import Graph, Node
from .registry import NodeSpec


def needed_nodes(
    graph: Graph,
    specs: Mapping[str, NodeSpec],
    outputs: Collection[str] | None = None,
    further: Iterable[str] = (),
) -> list[str]:
    """The ids of the output nodes, or of those among `outputs`, of the `further` ones and of all
    that they need, in the graph's own order. Types without a spec are no outputs, and need all that
    they are given.
    """
    ends = [node.id for node in graph.nodes.values() if is_output(node, specs)]
    waiting = [*(end for end in ends if outputs is None or end in outputs), *further]
    found = set(waiting)
    while waiting:
        for origin in origins(graph.nodes[waiting.pop()], specs):
            if origin in graph.nodes and origin not in found:
                found.add(origin)
                waiting.append(origin)
    return [node_id for node_id in graph.nodes if node_id in found]


def origins(node: Node, specs: Mapping[str, NodeSpec]) -> list[str]:
    """The ids of the nodes that feed the inputs `node` declares; of a type without a spec, all."""
    spec = specs.get(node.type)
    declared = node.inputs if spec is None else spec.live(node.inputs).inputs
    return [link.node for name, link in node.links.items() if name in declared]


def is_output(node: Node, specs: Mapping[str, NodeSpec | None]) -> bool:
    """Whether a node is an output; one of a type without a spec is none."""
    spec = specs.get(node.type)
    return spec is not None and spec.is_output


def ends_of(graph: Graph, nodes: Iterable[Node]) -> list[str]:
    """The ids of those of `nodes` whose outputs nothing takes."""
    taken = graph.taken()
    return [node.id for node in nodes if node.id not in taken]
