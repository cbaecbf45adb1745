"""The API form: `{"3": {"class_type": ..., "inputs": {...}}}`; a wire is `[node id, slot]`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from ..ground.structured import Json, JsonObject, object_at
from .known import FIELDS, TITLES
from .view import Change, Piece, Port, Use, View


def is_api(document: JsonObject) -> bool:
    """Whether `document` looks like the API form."""
    return any(isinstance(node, dict) and "class_type" in node for node in document.values())


def view_of(prompt: JsonObject) -> View:
    """The prompt's nodes; what is no node is passed over."""
    pieces = {}
    for key, node in prompt.items():
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            pieces[key] = _piece(key, node)
    return View(pieces)


def _piece(key: str, node: JsonObject) -> Piece:
    given, title = object_at(node, "inputs"), object_at(node, "_meta").get("title")
    wires = {name: port for name, value in given.items() if (port := _port(value))}
    kind = str(node["class_type"])
    values = {name: _plain(value) for name, value in given.items() if name not in wires}
    defaults = {k: v for k, v in FIELDS.get(kind, {}).items() if k not in wires}
    return Piece(
        key,
        kind,
        title if isinstance(title, str) else "",
        fields={**defaults, **values},
        wires=wires,
    )


def _port(value: Json) -> Port | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)):
        node, slot = value
        if isinstance(slot, (int, float)) and not isinstance(slot, bool):
            return Port(str(node), int(slot))
    return None


def _plain(value: Json) -> Json:
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def changed(prompt: JsonObject, change: Change) -> tuple[JsonObject, dict[str, str]]:
    """The prompt with the change, and the ids of the new nodes by their keys."""
    numbers = [int(key) for key in prompt if key.isascii() and key.isdigit() and len(key) < 16]
    free = (str(number) for number in count(max(numbers, default=0) + 1))
    ids = {one.key: next(free) for one in change.new}

    def wire(port: Port) -> list[Json]:
        port = change.resolved(port)
        return [ids.get(port.node, port.node), port.slot]

    made: JsonObject = {}
    for key, node in prompt.items():
        if key in change.removed:
            continue
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(inputs, dict):
            node = {**node, "inputs": _rewired(key, inputs, change, wire)}
        made[key] = node
    for one in change.new:
        wires: JsonObject = {name: wire(port) for name, port in one.wires.items()}
        made[ids[one.key]] = {
            "inputs": {**dict(one.fields), **wires},
            "class_type": one.type,
            "_meta": {"title": TITLES.get(one.type, one.type)},
        }
    return made, ids


def _rewired(
    key: str, inputs: JsonObject, change: Change, wire: Callable[[Port], list[Json]]
) -> JsonObject:
    made: JsonObject = {}
    for name, value in inputs.items():
        port = _port(value)
        new = change.rewired.get(Use(key, name))
        if new is not None:
            value = wire(new)
        elif port is not None and port in change.moved:
            value = wire(port)
        elif port is not None and port.node in change.removed:
            continue
        made[name] = value
    return made
