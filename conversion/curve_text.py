"""The points of Control Curve as it writes them: `place:strength`, with commas."""

from __future__ import annotations

from collections.abc import Iterable

from ..ground.structured import Json


def points_of(text: Json) -> tuple[tuple[float, float], ...] | None:
    """The points; None for what is none, and for strengths alone."""
    if not isinstance(text, str):
        return None
    pairs = [one.partition(":") for one in text.split(",") if one.strip()]
    if not pairs or not all(colon for _, colon, _ in pairs):
        return None
    try:
        return tuple((float(place), float(strength)) for place, _, strength in pairs)
    except ValueError:
        return None


def text_of(points: Iterable[tuple[float, float]]) -> str:
    """The text of points, exact."""
    return ", ".join(f"{_short(place)}:{_short(strength)}" for place, strength in points)


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(float(number))
