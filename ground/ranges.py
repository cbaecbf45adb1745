"""Lists of numbers as people write them: "0.4, 0.7", "1..4", "0.3..1.0:5"."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .errors import UserError
from .wording import shown

MOST = 1_000_000
"""Numbers that one range may stand for."""
_DIGITS = 10
"""Decimals that a number of a range keeps: 0.3..1.0:5 has 0.475, and not 0.47499999999999998."""


def is_range(text: str) -> bool:
    """Whether a text is meant as a range."""
    return ".." in text


def numbers_of(text: str, whole: bool) -> tuple[int, ...] | tuple[float, ...]:
    """The numbers that `text` lists, with commas between them; with `whole` they are integers.

    `a..b` is every whole number from a to b, both among them; `a..b:n` is n numbers, evenly spaced
    from a to b, both among them. Raises UserError for what is no number, a range of fractions that
    does not say how many, one of fewer than 1 or more than MOST numbers, and numbers of a range
    that are not whole where they have to be.
    """
    found: list[float] = []
    for piece in text.split(","):
        found += _range(piece.strip(), whole) if is_range(piece) else [_number(piece, whole)]
    return tuple(map(int, found)) if whole else tuple(map(float, found))


def _range(piece: str, whole: bool) -> Sequence[float]:
    ends, colon, count_text = piece.partition(":")
    first_text, _, last_text = ends.partition("..")
    first, last = _number(first_text, whole), _number(last_text, whole)
    if not colon:
        if first != int(first) or last != int(last):
            raise UserError(
                f"the range {shown(piece)} does not say how many numbers; write {piece}:5 for five"
            )
        count = int(abs(last - first)) + 1
        if whole and count <= MOST:  # all digits of a seed
            ends_of = int(first), int(last)
            return list(range(min(ends_of), max(ends_of) + 1))[:: 1 if first <= last else -1]
    else:
        try:
            count = int(count_text)
        except ValueError:
            count = 0
    if not 1 <= count <= MOST:
        raise UserError(
            f"the range {shown(piece)} has {shown(count) if not colon else shown(count_text)} "
            f"numbers; write a whole number from 1 to {MOST}, such as {ends}:5"
        )
    if count == 1 and first != last:
        raise UserError(f"the range {shown(piece)} is one number from two ends; write {first:g}")
    step = (last - first) / max(count - 1, 1)
    made = [round(first + number * step, _DIGITS) for number in range(count)]
    if whole and (odd := next((one for one in made if one != int(one)), None)) is not None:
        raise UserError(
            f"the range {shown(piece)} has {odd:g}, and whole numbers are wanted; choose another "
            "count of numbers"
        )
    return made


def _number(text: str, whole: bool) -> float:
    text = text.strip()
    try:
        number: float = int(text) if whole else float(text)
        if math.isfinite(number):
            return number
    except (ValueError, OverflowError):
        pass
    wanted = "a whole number" if whole else "a number"
    what = f"{shown(text)} is no {wanted[2:]}" if text else f"{wanted} is missing"
    raise UserError(f"{what}; write such as 0.4,0.7 or 1..4 or 0.3..1.0:5")
