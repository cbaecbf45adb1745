"""`--set NODE.INPUT=VALUE`: one value of a graph changed from outside."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...ground.errors import UserError
from ...ground.wording import listing, near, shown
from .canvas import with_value
from .model import Graph, Json, Node
from .own_check import own_check
from .registry import SEED_INPUTS, InputSpec, NodeSpec, Registry
from .values import check_choice, check_range, convert


@dataclass(frozen=True)
class Target:
    """An input that `--set` names, at one of the nodes that have it."""

    node: Node
    spec: NodeSpec
    input: InputSpec

    def value(self, text: str) -> Json:
        """What `text` means for its type. Raises UserError for what does not fit."""
        try:
            return _parse(self.spec, self.input, text)
        except UserError as error:
            raise UserError(f"{self.node.label}: input {self.input.name} {error}") from error


def override(graph: Graph, registry: Registry, target: str, text: str) -> Graph:
    """`graph` with the input `target` ("3.seed") set to what `text` means for its type.

    The node is named by its id, or by a type or title; several of one type or title are all set,
    and the graph's notes say so. A link into the input is replaced. Raises UserError for a node or
    an input that is not there, an input that takes a link only, and a value that does not fit.
    """
    found = targets(graph, registry, target)
    for one in found:
        graph = with_input(graph, one.spec, one.node.id, one.input.name, one.value(text))
    if len(found) == 1:
        return graph
    note = f"{target} is set at {len(found)} nodes: {listing(one.node.id for one in found)}"
    return replace(graph, notes=(*graph.notes, note))


def targets(graph: Graph, registry: Registry, target: str) -> list[Target]:
    """The inputs that `target` names, one a node. Raises UserError as `override` does, but for
    values."""
    splits = [split for split in _splits(target) if all(split)]
    if not splits:
        raise UserError(f"{shown(target)} names no input; write NODE.INPUT, such as 3.seed")
    # 3.preprocessor.low_threshold: inputs that a choice brings have dots, and so may titles.
    name, input_name = next((one for one in splits if nodes_of(graph, one[0])), splits[0])
    return [_target(node, registry, input_name) for node in nodes_of(graph, name, required=True)]


def seeds_of(graph: Graph) -> list[str]:
    """Every seed of the graph, as a target ("3.seed")."""
    return [
        f"{node.id}.{name}"
        for node in graph.nodes.values()
        for name in SEED_INPUTS
        if name in node.inputs
    ]


def with_input(graph: Graph, spec: NodeSpec, node_id: str, name: str, value: Json) -> Graph:
    """`graph` with the input `name` of a node, of the type `spec`, set to a value that fits; its
    canvas follows, where it can."""
    node = graph.nodes[node_id]
    changed = replace(node, inputs={**node.inputs, name: value})
    workflow = graph.workflow and with_value(graph.workflow, node, spec, name, value)
    return replace(graph, nodes={**graph.nodes, node.id: changed}, workflow=workflow)


def _target(node: Node, registry: Registry, input_name: str) -> Target:
    spec = registry.get(node.type)
    if spec is None:
        raise UserError(f"this host does not have the node type of {node.label}")
    spec = spec.live(node.inputs)
    if input_name not in spec.inputs:
        raise UserError(
            f"{node.label} has no input {shown(input_name)}{near(input_name, spec.inputs)}; it has "
            f"{listing(spec.inputs)}"
        )
    return Target(node, spec, spec.inputs[input_name])


def _splits(target: str) -> list[tuple[str, str]]:
    """Node and input, cut at each dot of `target`, the last one first."""
    dots = [index for index, letter in enumerate(target) if letter == "."]
    return [(target[:dot], target[dot + 1 :]) for dot in reversed(dots)]


def nodes_of(graph: Graph, name: str, required: bool = False) -> list[Node]:
    """The nodes that a person calls `name`: by id, or else by type, or else by title. Raises
    UserError for none where one is `required`."""
    if name in graph.nodes:
        return [graph.nodes[name]]
    every = list(graph.nodes.values())
    found = [node for node in every if node.type == name]
    found = found or [node for node in every if node.title == name]
    if found or not required:
        return found
    inner = [node for node in every if node.id.startswith(f"{name}:")]
    if inner:
        raise UserError(
            f"node {name} is a subgraph; name one of the nodes inside it: "
            f"{listing(node.label for node in inner)}"
        )
    names = {word for node in every for word in (node.id, node.type, node.title) if word}
    raise UserError(
        f"there is no node {shown(name)}{near(name, names)}; there is "
        f"{listing(node.label for node in every)}"
    )


def _parse(spec: NodeSpec, declared: InputSpec, text: str) -> Json:
    if not declared.takes_value:
        raise UserError(f"takes a link of type {declared.type}, not a value")
    choices = [choice for choice in declared.choices if str(choice) == text]
    value = convert(declared, choices[0] if choices else text)
    check_range(declared, value)
    if not own_check(spec).exempts(declared.name):
        check_choice(declared, value)
    return value
