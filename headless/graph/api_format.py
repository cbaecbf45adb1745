"""API-format JSON, what ComfyUI's server is sent: `{"3": {"class_type": ..., "inputs": ...}}`."""

from __future__ import annotations

from ...ground.errors import UserError
from ...ground.wording import shown
from .model import Graph, Json, JsonObject, Link, Node, Value


def is_api(document: JsonObject) -> bool:
    """Whether `document` looks like the API format: objects with a `class_type`."""
    return any(isinstance(node, dict) and "class_type" in node for node in document.values())


def read_api(document: JsonObject, source: str, workflow: JsonObject | None = None) -> Graph:
    """The graph of an API-format document; `source` names the file in errors.

    Raises UserError for nodes without a class_type and for inputs of the wrong form.
    """
    nodes = {key: _node(key, value, source) for key, value in document.items()}
    return Graph(nodes, workflow)


def _node(key: str, value: Json, source: str) -> Node:
    if not isinstance(value, dict) or not isinstance(value.get("class_type"), str):
        raise UserError(f"{source}: node {shown(key)} has no class_type, the name of its type")
    inputs = value.get("inputs", {})
    if not isinstance(inputs, dict):
        raise UserError(f"{source}: the inputs of node {shown(key)} are no object")
    node_type = str(value["class_type"])
    read = {name: _value(item, key, name, source) for name, item in inputs.items()}
    return Node(key, node_type, read, _title(value) or node_type)


def _title(value: JsonObject) -> str:
    meta = value.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


def _value(item: Json, key: str, name: str, source: str) -> Value:
    if isinstance(item, dict) and "__value__" in item:
        return item["__value__"]
    if not isinstance(item, list):
        return item
    if len(item) == 2:
        origin, slot = item
        if isinstance(origin, (str, int)) and not isinstance(origin, bool):
            number = _slot(slot)
            if number is not None:
                return Link(str(origin), number)
    raise UserError(
        f"{source}: input {shown(name)} of node {shown(key)} is {shown(item)}; a link is a node id "
        "and an output number, and a list of values stands in {'__value__': ...}"
    )


def _slot(slot: Json) -> int | None:
    """ComfyUI takes a whole number written as a float for a slot too."""
    if isinstance(slot, bool) or not isinstance(slot, (int, float)):
        return None
    return int(slot) if slot >= 0 and slot == int(slot) else None
