"""Lists of numbers as people write them: "0.4, 0.7", "1..4", "0.3..1.0:5"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from .errors import UserError
from .wording import shown

MOST = 1_000_000
"""Numbers that one range may stand for."""
_DECIMALS = 10
"""Decimals of a number between the ends, unless these have more: a third is 0.3333333333."""
_OF_STEP = 6
"""Digits that such a number keeps of a step, however small it is."""

Exact: TypeAlias = "int | Fraction"


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
    found: list[Exact] = []
    for piece in text.split(","):
        found += _range(piece.strip(), whole) if is_range(piece) else [_number(piece, whole)]
    return tuple(map(int, found)) if whole else tuple(map(float, found))


def _range(piece: str, whole: bool) -> Sequence[Exact]:
    """The numbers of a range, exactly: their floats are the nearest there are, as for 0.3."""
    ends, colon, count_text = piece.partition(":")
    first_text, _, last_text = ends.partition("..")
    first, last = _number(first_text, whole), _number(last_text, whole)
    if not colon:
        if not (_is_whole(first) and _is_whole(last)):
            raise UserError(
                f"the range {shown(piece)} does not say how many numbers; write {piece}:5 for five"
            )
        count = int(abs(last - first)) + 1
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
        raise UserError(
            f"the range {shown(piece)} is one number from two ends; write {first_text.strip()}"
        )
    if not colon:
        way = 1 if first <= last else -1
        return range(int(first), int(last) + way, way)
    step = (last - first) / max(count - 1, 1)
    made = [first + number * step for number in range(count)]
    if not whole:
        decimals = max(_DECIMALS, *(_decimals(end) for end in (first_text, last_text)))
        if step:
            size = Decimal(step.numerator) / Decimal(step.denominator)
            decimals = max(decimals, _OF_STEP - size.adjusted())
        return [first, *(round(one, decimals) for one in made[1:-1]), *([last] * (count > 1))]
    if (odd := next((one for one in made if not _is_whole(one)), None)) is not None:
        raise UserError(
            f"the range {shown(piece)} has {float(odd):g}, and whole numbers are wanted; choose "
            "another count of numbers"
        )
    return made


def _is_whole(number: Fraction) -> bool:
    return number.denominator == 1


def _decimals(text: str) -> int:
    """How many decimals a number was written with, of those that a float can tell from 0."""
    exponent = Decimal(text.strip()).as_tuple().exponent
    return min(max(0, -exponent), 330) if isinstance(exponent, int) else 0


def _number(text: str, whole: bool) -> Fraction:
    text = text.strip()
    try:
        near: float = int(text) if whole else float(text)
        if math.isfinite(near):
            # What is nearest to 0 is 0: 1e-400000000 has more digits than memory.
            return Fraction(Decimal(text)) if near else Fraction(0)
    except (ValueError, OverflowError):
        pass
    wanted = "a whole number" if whole else "a number"
    what = f"{shown(text)} is no {wanted[2:]}" if text else f"{wanted} is missing"
    raise UserError(f"{what}; write such as 0.4,0.7 or 1..4 or 0.3..1.0:5")
