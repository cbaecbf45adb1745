"""The values of a UI node's fields, by name.

A UI file keeps them as a bare list in the order of the fields, so the node's spec gives the names.
A seed is followed by the field "control after generate", which is the canvas's own and no input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .model import Json
from .registry import InputSpec

SEED_CONTROLS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})


def widget_values(
    fields: Sequence[InputSpec], stored: Json, named: Mapping[str, Json]
) -> dict[str, Json]:
    """The value of every field: `named` first, then `stored` (list or object), then its default.

    Values beyond the last field, such as the upload button's of LoadImage, are dropped.
    """
    found: dict[str, Json] = {
        field.name: field.default for field in fields if field.default is not None
    }
    if isinstance(stored, list):
        found.update(_by_position(fields, stored))
    elif isinstance(stored, dict):
        found.update(stored)
    found.update(named)
    return found


def field_positions(fields: Sequence[InputSpec], stored: Sequence[Json]) -> dict[str, int]:
    """Where in `stored` the value of each field stands, and of those that a choice there brings."""
    positions: dict[str, int] = {}
    index = 0
    waiting = list(fields)
    while waiting:
        field = waiting.pop(0)
        if field.name in positions:  # brought, and among the `fields` of a live node besides
            continue
        positions[field.name] = index
        if index < len(stored):
            waiting[:0] = [one for one in field.brought_by(stored[index]) if one.is_widget]
        following = waiting[0] if waiting else None
        index += 1
        if field.has_seed_control and index < len(stored):
            # The oldest files have a tick there: "random seed after every generation".
            tick = isinstance(stored[index], bool) and following and following.type != "BOOLEAN"
            # A button in its place, which other packs put there, is saved as null.
            button = stored[index] is None and len(stored) > len(fields)
            index += bool(tick) or button or is_seed_control(stored[index])
    return positions


def _by_position(fields: Sequence[InputSpec], stored: Sequence[Json]) -> dict[str, Json]:
    # null is what a front end writes for a field it could not fill: the default stands.
    return {
        name: stored[index]
        for name, index in field_positions(fields, stored).items()
        if index < len(stored) and stored[index] is not None
    }


def is_seed_control(value: Json) -> bool:
    """Whether `value` is what a "control after generate" field holds."""
    return isinstance(value, str) and value in SEED_CONTROLS
