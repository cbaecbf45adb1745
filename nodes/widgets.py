"""Settings as the widgets of a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ground.parameters import Parameter

Widget = tuple[Any, dict[str, Any]]
"""A type, or the list of choices, and the options of an input, as INPUT_TYPES has them."""


def widget(parameter: Parameter) -> Widget:
    """The field of one setting."""
    words = {"default": parameter.default, "tooltip": parameter.tooltip}
    if parameter.choices:
        return list(parameter.choices), words
    match parameter.default:
        case bool():
            return "BOOLEAN", words
        case str():
            return "STRING", words
        case int():
            return "INT", {**words, **_range(parameter)}
        case float():
            return "FLOAT", {**words, **_range(parameter), "round": False}


def widgets(settings: Iterable[Parameter]) -> dict[str, Widget]:
    """The fields of several settings, by name."""
    return {parameter.name: widget(parameter) for parameter in settings}


def _range(parameter: Parameter) -> dict[str, float]:
    return {"min": parameter.low, "max": parameter.high, "step": parameter.step}
