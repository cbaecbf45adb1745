"""Everything that is wrong with a graph, said at once and before any model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from ...ground.errors import UserError, several
from ...ground.wording import listing, shown
from .downloads import downloads
from .model import Graph, Json, Link, Node, plain
from .own_check import hidden, own_check
from .registry import InputSpec, NodeSpec, Registry, types_fit
from .values import check_choice, check_range, convert


def validate(graph: Graph, registry: Registry, accepted: dict[str, Node] | None = None) -> None:
    """Check all that the graph's outputs need, by the core's rules.

    Nodes that are the very same as those `accepted`, by id, are not looked at again; those that
    are in order are added to it.

    Raises one UserError with a line for each thing that is wrong: node types that are not known, no
    output node, links to nothing or of the wrong type, circles, missing inputs, values of the wrong
    type or out of their range, and what a node's own VALIDATE_INPUTS says.
    """
    require_known(graph, registry)
    specs = {node_type: registry.spec(node_type) for node_type in _types(graph)}
    if not any(specs[node.type].is_output for node in graph.nodes.values()):
        raise UserError(_no_output(graph, registry))
    needed = needed_nodes(graph, specs)
    sources = downloads(graph.workflow)
    problems = [
        line
        for node_id in needed
        if accepted is None or accepted.get(node_id) is not graph.nodes[node_id]
        for line in _node_problems(graph.nodes[node_id], graph, specs, sources)
    ]
    problems += _circle(graph, needed, specs)
    if problems:
        many = f"the workflow cannot run, {len(problems)} things are wrong:"
        raise several(many, problems, len(problems))
    if accepted is not None:
        accepted.update((node_id, graph.nodes[node_id]) for node_id in needed)


def require_known(graph: Graph, registry: Registry) -> None:
    """Raise UserError with every node type that is not known, and the nodes that are of it."""
    unknown: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        if node.type not in registry:
            unknown.setdefault(node.type, []).append(node.id)
    if unknown:
        raise UserError(_unknown(unknown))


def _no_output(graph: Graph, registry: Registry) -> str:
    known = {node.id: registry.get(node.type) for node in graph.asleep}
    outputs = [node for node in graph.asleep if (spec := known[node.id]) and spec.is_output]
    subgraphs = [node for node in graph.asleep if known[node.id] is None]
    asleep = listing(node.label for node in outputs or subgraphs)
    mend = f"unmute {asleep}" if outputs or subgraphs else "add a SaveImage or PreviewImage node"
    return f"the workflow has no output node that runs, so nothing would come of it; {mend}"


def needed_nodes(graph: Graph, specs: Mapping[str, NodeSpec]) -> list[str]:
    """The ids of the output nodes and of all that they need, in the graph's own order."""
    waiting = [node.id for node in graph.nodes.values() if specs[node.type].is_output]
    found = set(waiting)
    while waiting:
        for origin in origins(graph.nodes[waiting.pop()], specs):
            if origin in graph.nodes and origin not in found:
                found.add(origin)
                waiting.append(origin)
    return [node_id for node_id in graph.nodes if node_id in found]


def origins(node: Node, specs: Mapping[str, NodeSpec]) -> list[str]:
    """The ids of the nodes that feed the inputs `node` declares."""
    declared = specs[node.type].live(node.inputs).inputs
    return [
        value.node
        for name, value in node.inputs.items()
        if name in declared and isinstance(value, Link)
    ]


def _unknown(nodes: Mapping[str, Sequence[str]]) -> str:
    """`nodes`: the ids of the nodes of each type."""
    lines = ", ".join(f"{plain(kind)} ({_ids(ids)})" for kind, ids in nodes.items())
    count = "a node type" if len(nodes) == 1 else f"{len(nodes)} node types"
    said = (
        f"this host does not have {count} of the workflow: {lines}; remove these nodes, or run the "
        "workflow in ComfyUI with the packs that bring them"
    )
    grouped = any(kind.startswith(("workflow>", "workflow/")) for kind in nodes)
    hint = "; group nodes (workflow>...) run once ComfyUI has converted them to subgraphs"
    return said + _ours(nodes) + (hint if grouped else "")


def _ours(kinds: Iterable[str]) -> str:
    """Which of our nodes stand for those of `kinds` that are other packs' preprocessors."""
    from ...preprocessors.names import equal_of

    found = [(kind, entry) for kind in kinds if (entry := equal_of(kind)) is not None]
    named = listing(f"{entry.title} for {plain(kind)}" for kind, entry in found)
    return f"; there is {named}" if found else ""


def _ids(ids: Sequence[str]) -> str:
    return f"node{'s' if len(ids) > 1 else ''} {listing(map(plain, ids))}"


def _types(graph: Graph) -> set[str]:
    return {node.type for node in graph.nodes.values()}


def _circle(graph: Graph, needed: Iterable[str], specs: Mapping[str, NodeSpec]) -> list[str]:
    edges = {node_id: origins(graph.nodes[node_id], specs) for node_id in needed}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        nodes = [graph.nodes[node_id].label for node_id in error.args[1]]
        return [f"the links go in a circle: {' -> '.join(nodes)}; remove one of them"]
    return []


def _node_problems(
    node: Node, graph: Graph, specs: Mapping[str, NodeSpec], sources: Mapping[str, str]
) -> list[str]:
    spec = specs[node.type].live(node.inputs)
    judge = own_check(spec)
    problems: list[str] = []
    accepted: dict[str, Json] = {}
    received: dict[str, str] = {}
    for name, declared in spec.inputs.items():
        value = node.inputs.get(name)
        try:
            if isinstance(value, Link):
                received[name] = _received_type(value, declared, graph, specs)
            elif name in node.inputs and not (value is None and not declared.takes_value):
                accepted[name] = _accept(value, declared, exempt=judge.exempts(name))
            elif declared.required:
                raise UserError(f"({declared.type}) is missing; connect it or give it a value")
        except UserError as error:
            problems.append(f"{node.label}: input {name} {error}")
    urls = [
        sources[value] for value in accepted.values() if isinstance(value, str) and value in sources
    ]
    hint = f"; the workflow's author got it from {listing(urls)}" if urls else ""
    said = judge.problems(accepted, received, hidden(node, spec, graph))
    strays = [f"{node.label}: {line}" for line in _strays(node, specs[node.type])]
    return problems + strays + [f"{node.label}: {line}{hint}" for line in said]


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
