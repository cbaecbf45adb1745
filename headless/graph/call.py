"""One call of a V1 node: lists mapped over, results put together, by the core's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...ground.errors import UserError
from .model import Link, Value
from .registry import NodeSpec


@dataclass(frozen=True)
class Outcome:
    """A list of values for each output (one value long unless lists are at work), and the node's
    `ui`.
    """

    outputs: Sequence[list[Any]]
    ui: Mapping[str, Any]


def call_node(node: Any, spec: NodeSpec, arguments: Mapping[str, list[Any]]) -> Outcome:
    """Call the node's function on `arguments`, each a list of values.

    A node with INPUT_IS_LIST is called once with the lists; any other once for each value, shorter
    lists repeating their last. Raises UserError for a result this host cannot use.
    """
    function = getattr(node, spec.function)
    if spec.input_is_list:
        answers = [function(**arguments)]
    else:
        answers = [function(**values) for values in _slices(arguments)]
    results = [_result(answer, spec) for answer in answers]
    return Outcome(_merge(results, spec), _merge_ui(answers))


def change_mark(spec: NodeSpec, values: Mapping[str, Value]) -> str | None:
    """What IS_CHANGED answers to a node's values, "" where it has none; None where the node is to
    run always: like the core, for a NaN or an error there."""
    function = getattr(spec.cls, "IS_CHANGED", None)
    if function is None:
        return ""
    # As in the core, an input that a link feeds is not known yet: None.
    known = {name: None if isinstance(value, Link) else value for name, value in values.items()}
    try:
        answer = function(**known)
    except Exception:  # the node itself will say what is wrong when it runs
        return None
    return None if answer != answer else repr(answer)


def asked_for(node: Any, spec: NodeSpec, arguments: Mapping[str, list[Any]]) -> set[str]:
    """The lazy inputs that the node's `check_lazy_status` asks for, of any of the calls."""
    calls = [arguments] if spec.input_is_list else _slices(arguments)
    return {name for values in calls for name in node.check_lazy_status(**values) or ()}


def _slices(arguments: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    if not arguments:
        yield {}
        return
    for index in range(max(len(values) for values in arguments.values())):
        yield {name: values[min(index, len(values) - 1)] for name, values in arguments.items()}


def _result(answer: Any, spec: NodeSpec) -> Sequence[Any]:
    if isinstance(answer, dict):
        if "expand" in answer:
            raise UserError("it expands into other nodes, which this host does not do")
        answer = answer.get("result", ())
    result = () if answer is None else answer
    if len(result) < len(spec.outputs):
        raise TypeError(f"{len(result)} results for the {len(spec.outputs)} outputs it declares")
    return result if isinstance(result, Sequence) else tuple(result)


def _merge(results: Sequence[Sequence[Any]], spec: NodeSpec) -> list[list[Any]]:
    return [
        [item for result in results for item in result[slot]]
        if spec.output_is_list[slot]
        else [result[slot] for result in results]
        for slot in range(len(spec.outputs))
    ]


def _merge_ui(answers: Sequence[Any]) -> dict[str, Any]:
    shown = [answer["ui"] for answer in answers if isinstance(answer, dict) and "ui" in answer]
    merged: dict[str, Any] = {}
    for each in shown:
        for name, items in each.items():
            merged.setdefault(name, []).extend(items)
    return merged
