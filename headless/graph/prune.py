"""What muting a node takes with it: every node that cannot do without its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...ground.errors import UserError
from ...ground.wording import listing
from .model import Graph, Node
from .needed import is_output
from .registry import NodeSpec

Specs = Mapping[str, "NodeSpec | None"]


def prune(graph: Graph, starved: Mapping[str, str], specs: Specs) -> Graph:
    """`graph` without the `starved` nodes and those that need them; other links to them are cut.

    `starved` names the muted node for each node that lost a required input. What went is told in
    the graph's notes. Raises UserError where no output node is left.
    """
    reason = _with_dependents(graph, starved, specs)
    nodes = graph.nodes.values()
    outputs = [node for node in nodes if is_output(node, specs)]
    if outputs and all(node.id in reason for node in outputs):
        raise UserError(
            f"nothing is left to run: {listing(node.label for node in outputs)} cannot do without "
            f"the muted node {listing(dict.fromkeys(starved.values()))}; unmute or bypass it"
        )
    notes = tuple(
        f"{node.label} is left out: it needs node {reason[node.id]}, which is muted"
        for node in nodes
        if node.id in reason
    )
    kept = {node.id: node.without(reason) for node in nodes if node.id not in reason}
    return replace(graph, nodes=kept, notes=graph.notes + notes)


def _with_dependents(graph: Graph, starved: Mapping[str, str], specs: Specs) -> dict[str, str]:
    needed_by: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        for origin in _required_origins(node, specs[node.type]):
            needed_by.setdefault(origin, []).append(node.id)
    reason = dict(starved)
    waiting = list(starved)
    while waiting:
        gone = waiting.pop()
        for user in needed_by.get(gone, []):
            if user not in reason:
                reason[user] = reason[gone]
                waiting.append(user)
    return reason


def _required_origins(node: Node, spec: NodeSpec | None) -> set[str]:
    required = (link for name, link in node.links.items() if spec is None or spec.requires(name))
    return {link.node for link in required}
