"""Everything that is wrong with a graph, said at once and before any model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

from ...ground.errors import UserError
from ...ground.not_found import NotFound, looking
from ...ground.wording import listing, shown
from .answer import answer
from .downloads import address_of, downloads, drawn_nodes
from .model import Graph, Json, Link, Node, plain
from .needed import ends_of, needed_nodes, origins
from .own_check import hidden, own_check
from .problems import Kind, Problem
from .registry import InputSpec, NodeSpec, Registry, types_fit
from .ui_format import BYPASSED
from .values import check_choice, check_range, convert

NOTHING: Mapping[str, Node] = MappingProxyType({})


def validate(graph: Graph, registry: Registry, accepted: dict[str, Node] | None = None) -> None:
    """Check all that the graph's outputs need, by the core's rules.

    Nodes that are the very same as those `accepted`, by id, are not looked at again; those that
    are in order are added to it.

    Raises one UserError with all that is wrong: node types that are not known, no output node,
    links to nothing or of the wrong type, circles, missing inputs, values of the wrong type or out
    of their range, files that are not there, and what a node's own VALIDATE_INPUTS says.
    """
    if found := problems_of(graph, registry, accepted or {}):
        raise answer(found, graph, registry)
    if accepted is not None:
        needed = needed_nodes(graph, registry.specs(graph))
        accepted.update((key, graph.nodes[key]) for key in needed)


def problems_of(
    graph: Graph, registry: Registry, accepted: Mapping[str, Node] = NOTHING
) -> list[Problem]:
    """All that is wrong, as `validate` says it: node types that are not known first. Nodes that are
    the very same as those `accepted`, by id, are not looked at again.

    A node of such a type hands on what it is given, and an end of the graph that is one counts as
    an output: so the rest is judged as if its pack were there.
    """
    known = registry.specs(graph)
    found = unknown_in(graph, registry)
    strange = [one.node for one in found if one.node is not None]
    if not found and not any(known[node.type].is_output for node in graph.nodes.values()):
        return [Problem("no_output", _no_output(graph, registry))]
    needed = needed_nodes(graph, known, further=ends_of(graph, strange))
    return [*found, *problems_in(needed, graph, known, accepted)]


def unknown_in(graph: Graph, registry: Registry) -> list[Problem]:
    """The nodes whose types are not known."""
    return [
        Problem("node_type", "is of a type that is not known here", node)
        for node in graph.nodes.values()
        if node.type not in registry
    ]


def require_known(graph: Graph, registry: Registry) -> None:
    """Raise UserError with every node type that is not known, and what it would take."""
    if strange := unknown_in(graph, registry):
        raise answer(strange, graph, registry)


def problems_in(
    needed: Sequence[str],
    graph: Graph,
    specs: Mapping[str, NodeSpec],
    accepted: Mapping[str, Node] = NOTHING,
) -> list[Problem]:
    """All that is wrong with the nodes `needed`, but for types without a spec; nodes that are the
    very same as those `accepted` are not looked at again."""
    sources = downloads(graph.workflow)
    found: list[Problem] = []
    for node_id in needed:
        node = graph.nodes[node_id]
        if node.type in specs and accepted.get(node_id) is not node:
            found += _node_problems(node, graph, specs, sources)
    return found + _circle(graph, needed, specs)


def _no_output(graph: Graph, registry: Registry) -> str:
    known = {node.id: registry.get(node.type) for node in graph.asleep}
    outputs = [node for node in graph.asleep if (spec := known[node.id]) and spec.is_output]
    asleep = outputs or [node for node in graph.asleep if known[node.id] is None]
    none = "the workflow has no output node that runs, so nothing would come of it"
    if not asleep:
        return f"{none}; add a SaveImage or PreviewImage node"
    how = " or ".join(sorted({_how(graph, node) for node in asleep}, reverse=True))
    are, it = ("is", "it") if len(asleep) == 1 else ("are", "one")
    return f"{none}: {listing(node.label for node in asleep)} {are} {how}; unmute {it}"


def _how(graph: Graph, node: Node) -> str:
    """How a node that does not run is switched off on the canvas."""
    own = (node.id.rsplit(":", 1)[-1], node.type, BYPASSED)
    drawn = drawn_nodes(graph.workflow or {})
    off = any((str(one.get("id")), one.get("type"), one.get("mode")) == own for one in drawn)
    return "bypassed" if off else "muted"


def _circle(graph: Graph, needed: Iterable[str], specs: Mapping[str, NodeSpec]) -> list[Problem]:
    edges = {node_id: origins(graph.nodes[node_id], specs) for node_id in needed}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        ids = error.args[1]
        words = " -> ".join(graph.nodes[node_id].label for node_id in ids)
        words = f"the links go in a circle: {words}; remove one of them"
        return [Problem("circle", words, circle=tuple(dict.fromkeys(ids)))]
    return []


def _node_problems(
    node: Node, graph: Graph, specs: Mapping[str, NodeSpec], sources: Mapping[str, str]
) -> list[Problem]:
    spec = specs[node.type].live(node.inputs)
    judge = own_check(spec)
    problems: list[Problem] = []
    accepted: dict[str, Json] = {}
    received: dict[str, str] = {}
    for name, declared in spec.inputs.items():
        value = node.inputs.get(name)
        kind: Kind = "link" if isinstance(value, Link) else "value"
        try:
            if isinstance(value, Link):
                received[name] = _received_type(value, declared, graph, specs)
            elif name in node.inputs and not (value is None and not declared.takes_value):
                accepted[name] = _accept(value, declared, exempt=judge.exempts(name))
            elif declared.required:
                kind = "missing"
                raise UserError(f"({declared.type}) is missing; connect it or give it a value")
        except UserError as error:
            problems.append(Problem(kind, error.sentence, node, name, value))
    problems += [Problem("value", line, node) for line in _strays(node, specs[node.type])]
    with looking() as lost:
        said = judge.problems(accepted, received, hidden(node, spec, graph))
    return problems + [_own(line, node, accepted, lost, sources) for line in said]


def _own(
    line: str,
    node: Node,
    accepted: Mapping[str, Json],
    lost: Sequence[NotFound],
    sources: Mapping[str, str],
) -> Problem:
    """What a node's own check says, as a file that is not there where it is that."""
    texts = {name: value for name, value in accepted.items() if isinstance(value, str)}
    file = next((one for one in lost if one.sentence in line), None)
    if file is None:
        urls = [sources[value] for value in texts.values() if value in sources]
        return Problem("refused", line, node, url=listing(urls) if urls else "")
    name = next((name for name, value in texts.items() if file.name in value), "")
    url = address_of(file.name, sources)
    return Problem("file", line, node, name, accepted.get(name), file, url)


def _strays(node: Node, spec: NodeSpec) -> Iterator[str]:
    """What is wrong with inputs that are called as if a choice brought them. A choice that was
    changed by hand may leave those of another one behind: they do nothing."""
    for choice in spec.inputs.values():
        known = {one.name for one in choice.all_brought()}
        chosen = node.inputs.get(choice.name)
        if isinstance(chosen, str) and chosen not in choice.brings:
            continue  # the node takes it, or says that it does not, and knows what it brings
        for name in node.inputs:
            if choice.brings and name.startswith(f"{choice.name}.") and name not in known:
                value = node.inputs.get(choice.name)
                has = listing(one.name for one in choice.brought_by(value))
                yield f"{choice.name} {shown(value)} has no {plain(name)}; it has {has}"


def _accept(value: Json, declared: InputSpec, *, exempt: bool) -> Json:
    if not declared.takes_value:
        raise UserError(f"is {shown(value)}, but takes a link of type {declared.type}")
    converted = convert(declared, value)
    check_range(declared, converted)
    if not exempt:
        check_choice(declared, converted)
    return converted


def _received_type(
    link: Link, declared: InputSpec, graph: Graph, specs: Mapping[str, NodeSpec]
) -> str:
    origin = graph.nodes.get(link.node)
    if origin is None:
        raise UserError(f"is linked to node {shown(link.node)}, which is not there")
    if origin.type not in specs:
        return "*"
    outputs = specs[origin.type].outputs
    if not 0 <= link.slot < len(outputs):
        raise UserError(
            f"is linked to output {link.slot} of {origin.label}, which has {len(outputs)} outputs, "
            "counted from 0"
        )
    if not types_fit(outputs[link.slot], declared.type):
        raise UserError(
            f"takes {declared.type}, but {origin.label} gives {outputs[link.slot]} at its output "
            f"{link.slot}"
        )
    return outputs[link.slot]
