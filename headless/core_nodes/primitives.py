"""The core's nodes that hold one value, show it, or choose between two."""

from __future__ import annotations

import json
from typing import Any

from .declare import Declared, core_node

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
