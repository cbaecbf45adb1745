"""The core's nodes that hold one value, show it, convert it, or choose between two."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ...ground.errors import UserError
from ...ground.wording import shown
from .declare import Declared, core_node, growing, integer, number

MOST = 2**63 - 1


def _primitive(node_id: str, kind: str, options: dict[str, Any]) -> None:
    field: Declared = (kind, options)

    @core_node(node_id, "utilities/primitive", {"value": field}, kind)
    def give(value: Any) -> Any:
        """The value as it is."""
        return value


_primitive("PrimitiveString", "STRING", {"multiline": False})
_primitive("PrimitiveStringMultiline", "STRING", {"multiline": True})
_primitive("PrimitiveInt", "INT", {"min": -MOST, "max": MOST, "control_after_generate": "fixed"})
_primitive("PrimitiveFloat", "FLOAT", {"min": -MOST, "max": MOST, "step": 0.1})
_primitive("PrimitiveBoolean", "BOOLEAN", {})


@core_node("PreviewAny", "utilities", {"source": ("*", {})}, "STRING", OUTPUT_NODE=True)
def preview_any(source: Any = None) -> dict[str, Any]:
    """A value as text: a text as it is, what JSON can hold as JSON, all else as Python has it."""
    if isinstance(source, (str, int, float, bool)) or source is None:
        text = str(source)
    else:
        try:
            text = json.dumps(source, indent=4, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            text = str(source)
    return {"ui": {"text": (text,)}, "result": (text,)}


def _wanted(self: object, switch: bool, on_false: Any = None, on_true: Any = None) -> list[str]:
    chosen = {"on_true": on_true} if switch else {"on_false": on_false}
    return [name for name, value in chosen.items() if value is None]


_LAZY: Declared = ("*", {"lazy": True})


@core_node(
    "ComfySwitchNode",
    "utilities/logic",
    {"switch": ("BOOLEAN", {}), "on_false": _LAZY, "on_true": _LAZY},
    "*",
    RETURN_NAMES=("output",),
    check_lazy_status=_wanted,
)
def choose(switch: bool, on_false: Any = None, on_true: Any = None) -> Any:
    """One of two inputs; the other one is not made."""
    return on_true if switch else on_false


@core_node("ComfyNotNode", "utilities/logic", {"value": ("*", {})}, "BOOLEAN")
def negated(value: Any) -> bool:
    """Whether a value is none in Python's sense: False, 0, an empty text or list."""
    return not value


_VALUES: Declared = growing("*", prefix="value")


@core_node("ComfyAndNode", "utilities/logic", {"values": _VALUES}, "BOOLEAN")
def every(values: Mapping[str, Any]) -> bool:
    """Whether all values are true in Python's sense."""
    return all(values.values())


@core_node("ComfyOrNode", "utilities/logic", {"values": _VALUES}, "BOOLEAN")
def some(values: Mapping[str, Any]) -> bool:
    """Whether one value at least is true in Python's sense."""
    return any(values.values())


@core_node(
    "ComfyNumberConvert",
    "utilities",
    {"value": ("INT,FLOAT,STRING,BOOLEAN", {})},
    *("FLOAT", "INT"),
)
def as_numbers(value: float | bool | str) -> tuple[float, int]:
    """A number, a text of one, or a truth value (1 or 0) as a float, and whole, cut towards 0.
    Raises UserError for another text, and where it is not finite.
    """
    try:
        real = float(value)
        if math.isfinite(real):
            return real, _whole(value, real)
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{shown(str(value))} is no number; give one such as 12 or 0.5")


def _whole(value: float | bool | str, real: float) -> int:
    try:
        return int(value)  # a text of many digits as it is, not as the float that is nearest to it
    except ValueError:
        return int(real)


RATIOS = {
    "1:1 (Square)": (1, 1),
    "2:3 (Portrait Photo)": (2, 3),
    "3:2 (Photo)": (3, 2),
    "3:4 (Portrait Standard)": (3, 4),
    "4:3 (Standard)": (4, 3),
    "9:16 (Portrait Widescreen)": (9, 16),
    "16:9 (Widescreen)": (16, 9),
    "21:9 (Ultrawide)": (21, 9),
}


@core_node(
    "ResolutionSelector",
    "utilities",
    {
        "aspect_ratio": (list(RATIOS), {"default": "1:1 (Square)"}),
        "megapixels": number(1.0, 0.1, 16.0, 0.1),
        "multiple": integer(8, 8, 128, 4, advanced=True),
    },
    *("INT", "INT"),
    RETURN_NAMES=("width", "height"),
)
def size_of(aspect_ratio: str, megapixels: float, multiple: int) -> tuple[int, int]:
    """Width and height of a shape with about so many times 1024 x 1024 pixels, both divided by
    `multiple`.
    """
    across, down = RATIOS[aspect_ratio]
    scale = math.sqrt(megapixels * 1024 * 1024 / (across * down))
    width, height = (round(part * scale / multiple) * multiple for part in (across, down))
    return width, height
