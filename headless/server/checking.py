"""A prompt checked by the executor's rules, and what is wrong with it told in ComfyUI's form: by
node and input, so that the front end marks them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...ground.errors import UserError
from ..graph.answer import answer
from ..graph.api_format import read_api
from ..graph.model import Graph, Json, JsonObject, Link, Node
from ..graph.needed import needed_nodes
from ..graph.problems import Problem
from ..graph.registry import InputSpec, NodeSpec
from ..graph.validate import problems_in, require_known, unknown_in
from ..graph.values import check_choice, check_range, convert
from .house import House

SOURCE = "the prompt"
MOST_CHOICES = 20
"""Choices of a menu that are told with an error; longer menus are left out, as in ComfyUI."""

Told = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The output nodes that can run; what is wrong with nodes of the others; and what is wrong with
    the whole, where nothing can run.
    """

    outputs: tuple[str, ...]
    node_errors: Mapping[str, Told]
    error: Told | None = None


def error_of(kind: str, message: str, details: str = "", **extra: Any) -> Told:
    """An error in ComfyUI's form."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def graph_of(prompt: JsonObject, extra: Mapping[str, Any], house: House) -> Graph:
    """The graph that runs for a prompt, inside of `house.open`; UserError where none can."""
    canvas = (extra.get("extra_pnginfo") or {}).get("workflow")
    graph = read_api(prompt, SOURCE, canvas if isinstance(canvas, dict) else None)
    require_known(graph, house.registry)
    return house.models.suited(graph, house.registry)


def check(
    prompt: Json, extra: Mapping[str, Any], targets: Collection[str] | None, house: House
) -> Verdict:
    """What can run of a prompt; of its output nodes those among `targets`, where these are told."""
    if not isinstance(prompt, dict):
        return _refused("no_prompt", "the prompt is no object of nodes")
    if unreadable := _unreadable(prompt):
        return Verdict((), unreadable, _summary(unreadable))
    if (unknown := _unknown(prompt, house)) is not None:
        return Verdict((), {}, unknown)
    try:
        with house.open():
            graph = graph_of(prompt, extra, house)
        with house.open():  # with the models that stand in for those of the graph
            return _judged(graph, targets, house)
    except UserError as error:
        return _refused("invalid_prompt", str(error))


def _judged(graph: Graph, targets: Collection[str] | None, house: House) -> Verdict:
    specs = house.registry.specs(graph)
    outputs = [
        node.id
        for node in graph.nodes.values()
        if specs[node.type].is_output and (targets is None or node.id in targets)
    ]
    if not outputs:
        return _refused("prompt_no_outputs", "Prompt has no outputs")
    found = problems_in(needed_nodes(graph, specs, outputs), graph, specs)
    errors: dict[str, Told] = {}
    for problem in found:
        for node_id in problem.circle or ([problem.node.id] if problem.node else ()):
            entry = errors.setdefault(node_id, _entry(graph.nodes[node_id]))
            entry["errors"].append(_told(problem, graph.nodes[node_id], specs, graph))
    good = []
    for output in outputs:
        bad = [key for key in needed_nodes(graph, specs, [output]) if key in errors]
        for key in bad:
            errors[key]["dependent_outputs"].append(output)
        if not bad:
            good.append(output)
    return Verdict(tuple(good), errors, None if good else _summary(errors))


def _told(
    problem: Problem, node: Node, specs: Mapping[str, NodeSpec], graph: Graph
) -> dict[str, Any]:
    """A problem in the words of ComfyUI's kinds of errors, with our sentence as its details."""
    said = problem.sentence.removeprefix(f"{node.label}: ")
    if problem.circle:
        ring = {"node_id": node.id, "cycle_nodes": list(problem.circle)}
        return error_of("dependency_cycle", "Dependency cycle detected", said, **ring)
    if problem.kind not in ("missing", "link", "value") or not problem.input:
        return error_of("custom_validation_failed", "Custom validation failed for node", said)
    name = problem.input
    declared = specs[node.type].live(node.inputs).inputs[name]
    about: Told = {"input_name": name, "input_config": _config(declared)}
    if name not in node.inputs:
        return error_of("required_input_missing", "Required input is missing", name, **about)
    value = node.inputs[name]
    if isinstance(value, Link):
        linked = [value.node, value.slot]
        about["linked_node"] = linked
        if value.node not in graph.nodes:
            return error_of("bad_linked_input", "Bad linked input", said, **about)
        kinds = specs[graph.nodes[value.node].type].outputs
        about["received_type"] = kinds[value.slot] if value.slot < len(kinds) else None
        words = "Return type mismatch between linked nodes"
        return error_of("return_type_mismatch", words, said, **about)
    about["received_value"] = value
    kind, message = _fault(declared, value)
    return error_of(kind, message, said, **about)


def _fault(declared: InputSpec, value: Json) -> tuple[str, str]:
    """ComfyUI's kind of what is wrong with a value, and its words for it."""
    kind = ("invalid_input_type", f"Failed to convert an input value to a {declared.type} value")
    try:
        converted = convert(declared, value)
        low = declared.options.get("min")
        kind = ("value_bigger_than_max", f"Value {value} bigger than max")
        if low is not None and isinstance(converted, (int, float)) and converted < low:
            kind = ("value_smaller_than_min", f"Value {value} smaller than min of {low}")
        check_range(declared, converted)
        kind = ("value_not_in_list", "Value not in list")
        check_choice(declared, converted)
    except UserError:
        return kind
    return "invalid_input_type", f"Takes a link of type {declared.type}"


def _config(declared: InputSpec) -> list[Any]:
    if not declared.is_choice:
        return [declared.type, dict(declared.options)]
    short = len(declared.choices) <= MOST_CHOICES
    return [list(declared.choices) if short else [], {}]


def _entry(node: Node) -> Told:
    return {"errors": [], "dependent_outputs": [], "class_type": node.type}


def _summary(errors: Mapping[str, Told]) -> Told:
    lines = [
        f"{one['message']}: {one['details']}"
        for entry in errors.values()
        for one in entry["errors"]
    ]
    words = "Prompt outputs failed validation"
    return error_of("prompt_outputs_failed_validation", words, "\n".join(lines))


def _refused(kind: str, message: str) -> Verdict:
    return Verdict((), {}, error_of(kind, message, message))


def _unreadable(prompt: JsonObject) -> dict[str, Told]:
    """The nodes whose inputs are of no form that a prompt knows."""
    found: dict[str, Told] = {}
    for key, node in prompt.items():
        kind = node.get("class_type") if isinstance(node, dict) else None
        if not isinstance(kind, str):
            continue  # `_unknown` says it
        try:
            read_api({key: node}, SOURCE)
        except UserError as error:
            entry = _entry(Node(key, kind, {}))
            entry["errors"].append(error_of("bad_linked_input", "Bad linked input", str(error)))
            found[key] = entry
    return found


def _unknown(prompt: JsonObject, house: House) -> Told | None:
    """The first node of a type that this host lacks."""
    for key, node in prompt.items():
        kind = node.get("class_type") if isinstance(node, dict) else None
        meta = node.get("_meta") if isinstance(node, dict) else None
        title = meta.get("title") if isinstance(meta, dict) else None
        about = {"node_id": key, "class_type": kind, "node_title": title}
        if not isinstance(kind, str):
            words = f"Node '{title or f'ID #{key}'}' has no class_type, the name of its type."
            return error_of("missing_node_type", words, f"Node ID '#{key}'", **about)
        if kind not in house.registry:
            graph = read_api(prompt, SOURCE)
            said = answer(unknown_in(graph, house.registry), graph, house.registry)
            return error_of("missing_node_type", str(said), f"Node ID '#{key}'", **about)
    return None
