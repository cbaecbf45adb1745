"""The value of ControlNet Stack: its rows as JSON, which the front end draws and anyone may write.

    {"version": 1, "rows": [{"id": 1, "on": true, "file": "pose.safetensors", "strength": 1.0,
                             "start": 0.0, "end": 1.0}]}

`ROW` says what else a row may have. `docs/stack.md` tells users of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..conversion.known import MOST_ROWS
from ..ground.errors import UserError, named
from ..ground.wording import listing, shown
from ..model_patch.control import MODES
from ..model_patch.curve import BETWEEN, Curve
from ..model_patch.factors import MAX_STRENGTH, Factor, Sides, Span
from ..model_patch.view import AREA_HINTS, FRAMES, AreaHint, Frames
from .factors_within import blocks_of
from .line import AUTO

VERSION = 1


@dataclass(frozen=True)
class Row:
    """One row, as it is written.

    Args:
        id: 1 to `MOST_ROWS`, which names its sockets: hint_1, mask_1 ...
        on: whether it acts.
        file: the net's file; None where the net comes through its socket.
        strength: 0..10.
        span: when it acts, by the host's percents.
        factors: its curve, sides and blocks.
        mode, union_type, frames, area_hint: as of Add ControlNet.
    """

    id: int
    on: bool
    file: str | None
    strength: float
    span: Span
    factors: tuple[Factor, ...]
    mode: str
    union_type: str
    frames: Frames
    area_hint: AreaHint


def rows_of(value: Any) -> tuple[Row, ...]:
    """The rows of a node's value, from top to bottom; a text is read as JSON.

    Raises:
        UserError: a value that is none, is of a later version, or holds what no row can have; names
            the row, counted from 1.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UserError(f"the rows are no JSON: {error}") from error
    if not isinstance(value, Mapping) or not isinstance(value.get("rows"), list):
        raise UserError(f'the rows are {shown(value)}; write {{"version": 1, "rows": [...]}}.')
    version = value.get("version", VERSION)
    if version != VERSION:
        raise UserError(
            f"the rows are of version {shown(version)}, and this ControlStack reads version "
            f"{VERSION}; update ControlStack. Nothing of them is lost."
        )
    given = value["rows"]
    if len(given) > MOST_ROWS:
        raise UserError(
            f"there are {len(given)} rows, and one node holds {MOST_ROWS}; put the others on a "
            "second ControlNet Stack and wire its stack to this one."
        )
    rows = tuple(_row(one, number) for number, one in enumerate(given, start=1))
    for number, row in enumerate(rows, start=1):
        if row.id in [one.id for one in rows[: number - 1]]:
            raise UserError(f"row {number} has the id {row.id}, as another row above it.")
    return rows


def files_of(value: Any) -> list[str]:
    """The files that the rows of a node's value name, also of rows that are off; none of a value
    that is no such one."""
    rows = value.get("rows") if isinstance(value, Mapping) else None
    given = [one.get("file") for one in rows or () if isinstance(one, Mapping)]
    return [file for file in given if isinstance(file, str)]


def _row(given: Any, number: int) -> Row:
    with named(f"row {number}"):
        if not isinstance(given, Mapping):
            raise UserError(f"it is {shown(given)}, and has to be an object.")
        read = {name: _read(name, given.get(name)) for name in ROW}
        return Row(
            id=number if read["id"] is None else read["id"],
            on=read["on"],
            file=read["file"],
            strength=read["strength"],
            span=Span(read["start"], read["end"]),
            factors=(*read["curve"], *read["sides"], *read["blocks"]),
            mode=read["mode"],
            union_type=read["union_type"],
            frames=read["frames"],
            area_hint=read["area_hint"],
        )


def _read(name: str, value: Any) -> Any:
    default, read = ROW[name]
    if value is None:
        return default
    try:
        return read(value)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"its {name} is {shown(value)}; it has to be {error}.") from error


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("a number")
        if not low <= value <= high:  # nor NaN
            raise ValueError(f"from {low:g} to {high:g}")
        return float(value)

    return read


def _id(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_ROWS:
        raise ValueError(f"a whole number from 1 to {MOST_ROWS}")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of: {listing(choices)}")
        return str(value)

    return read


def _curve(value: Any) -> tuple[Factor, ...]:
    if not isinstance(value, Mapping) or not isinstance(value.get("points"), list):
        raise ValueError('{"points": [[place, strength], ...], "between": "linear"}')
    place, strength = _number(0.0, 1.0), _number(0.0, MAX_STRENGTH)
    pairs = [tuple(one) if isinstance(one, list) else () for one in value["points"]]
    if any(len(one) != 2 for one in pairs):
        raise ValueError("of points [place, strength]")
    between: Any = _one_of(*BETWEEN)(value.get("between", BETWEEN[0]))
    return (Curve(tuple((place(at), strength(by)) for at, by in pairs), between),)


def _sides(value: Any) -> tuple[Factor, ...]:
    if not isinstance(value, Mapping):
        raise ValueError('{"cond": 1, "uncond": 1}')
    number = _number(0.0, MAX_STRENGTH)
    sides = Sides(number(value.get("cond", 1.0)), number(value.get("uncond", 1.0)))
    return () if sides == Sides() else (sides,)


def _blocks(value: Any) -> tuple[Factor, ...]:
    return (blocks_of(_text(value)),) if _text(value).strip() else ()


ROW: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "id": (None, _id),
    "on": (True, _switch),
    "file": (None, _text),
    "strength": (1.0, _number(0.0, MAX_STRENGTH)),
    "start": (0.0, _number(0.0, 1.0)),
    "end": (1.0, _number(0.0, 1.0)),
    "mode": (next(iter(MODES)), _one_of(*MODES)),
    "curve": ((), _curve),
    "blocks": ((), _blocks),
    "sides": ((), _sides),
    "union_type": (AUTO, _text),
    "frames": (FRAMES[0], _one_of(*FRAMES)),
    "area_hint": (AREA_HINTS[0], _one_of(*AREA_HINTS)),
}
"""What a row may have: its default, and what reads it. Other keys are the front end's: `open` and
`sockets` say what is drawn."""
