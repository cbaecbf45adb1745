"""The core's nodes that hold one value, for several others to be fed by."""

from __future__ import annotations

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
