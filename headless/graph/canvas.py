"""The UI document kept true to the graph when a value changes, so that a PNG reopens as it ran."""

from __future__ import annotations

from .model import Json, JsonObject, Node
from .registry import NodeSpec
from .widgets import field_positions


def with_value(
    workflow: JsonObject, node: Node, spec: NodeSpec, name: str, value: Json
) -> JsonObject | None:
    """`workflow` with the field `name` of `node` set to `value`.

    None where the canvas keeps the value elsewhere: inside a subgraph, or behind a link; and for a
    choice that brings fields, which would be others.
    """
    nodes = workflow.get("nodes")
    if not isinstance(nodes, list) or spec.inputs[name].brings:
        return None
    for index, drawn in enumerate(nodes):
        if isinstance(drawn, dict) and str(drawn.get("id")) == node.id:
            changed = None if _is_linked(drawn, name) else _changed(drawn, spec, name, value)
            if changed is None:
                return None
            return {**workflow, "nodes": [*nodes[:index], changed, *nodes[index + 1 :]]}
    return None


def _changed(drawn: JsonObject, spec: NodeSpec, name: str, value: Json) -> JsonObject | None:
    stored, named = drawn.get("widgets_values"), drawn.get("widgets_values_named")
    changed = dict(drawn)
    if isinstance(named, dict):
        changed["widgets_values_named"] = {**named, name: value}
    if isinstance(stored, dict):
        changed["widgets_values"] = {**stored, name: value}
    elif isinstance(stored, list):
        index = field_positions(spec.widgets, stored).get(name, len(stored))
        if index >= len(stored):
            return None
        changed["widgets_values"] = [*stored[:index], value, *stored[index + 1 :]]
    else:
        return None
    return changed


def _is_linked(drawn: JsonObject, name: str) -> bool:
    slots = drawn.get("inputs")
    return any(
        isinstance(slot, dict) and slot.get("name") == name and slot.get("link") is not None
        for slot in (slots if isinstance(slots, list) else [])
    )
