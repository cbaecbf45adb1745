"""A value from a file, made into what the node's input declares, or the reason why it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...ground.errors import UserError
from ...ground.wording import listing, shown
from .model import Json
from .registry import DYNAMIC_COMBO, InputSpec


def convert(spec: InputSpec, value: Json) -> Json:
    """`value` as the core converts it: "20" and 20.0 are the INT 20; other types stay as they are.

    Unlike the core, which takes every text for a true BOOLEAN, "false" is false here. Raises
    UserError with the sentence's second half (`is 'x', ...`): the caller knows the node.
    """
    converter = _CONVERTERS.get(spec.type)
    if converter is None:
        return value
    try:
        if isinstance(value, (dict, list)) or value is None:
            raise ValueError
        if spec.is_choice and not isinstance(value, str) and _all_texts(spec):
            raise ValueError
        return converter(value)
    except (ValueError, OverflowError) as error:
        raise UserError(f"is {shown(value)}, but has to be {_WANTED[spec.type]}") from error


def check_range(spec: InputSpec, value: Json) -> None:
    """Raise UserError where a converted number leaves the input's `min` and `max`."""
    if isinstance(value, str) or not isinstance(value, (int, float)):
        return
    low, high = spec.options.get("min"), spec.options.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"at most {high}"
        if None not in (low, high):
            limits = f"from {low} to {high}"
        raise UserError(f"is {shown(value)}, but has to be {limits}")


def check_choice(spec: InputSpec, value: Json) -> None:
    """Raise UserError where a menu's value is none of its choices."""
    if spec.is_choice and value not in spec.choices:
        raise UserError(f"is {shown(value)}, but has to be one of: {listing(spec.choices)}")


def _number(value: bool | int | float | str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _truth(value: bool | int | float | str) -> bool:
    if not isinstance(value, str):
        return bool(value)
    if value.strip().lower() not in _TRUTHS:
        raise ValueError
    return _TRUTHS[value.strip().lower()]


def _all_texts(spec: InputSpec) -> bool:
    return all(isinstance(choice, str) for choice in spec.choices)


_TRUTHS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_CONVERTERS: dict[str, Callable[[bool | int | float | str], Json]] = {
    "INT": int,
    "FLOAT": _number,
    "STRING": str,
    "BOOLEAN": _truth,
    **dict.fromkeys(("COMBO", DYNAMIC_COMBO), lambda value: value),
}
_WANTED = {
    "INT": "a whole number",
    "FLOAT": "a number",
    "STRING": "a text",
    "BOOLEAN": "true or false",
    **dict.fromkeys(("COMBO", DYNAMIC_COMBO), "one of its choices"),
}
