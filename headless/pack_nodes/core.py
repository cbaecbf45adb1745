"""ComfyUI's own nodes, as those of other packs call them."""

from __future__ import annotations

from typing import Any

from ...ground.errors import UserError
from ..core_nodes.declare import CORE_NODES


def core(node: str, **inputs: Any) -> tuple[Any, ...]:
    """What the core's `node` gives for these inputs."""
    made = CORE_NODES[node]().run(**inputs)
    found: tuple[Any, ...] = made["result"] if isinstance(made, dict) else made
    return found


def require_core(node: str, **inputs: Any) -> None:
    """Raise UserError for inputs that the core's `node` refuses before a run."""
    said = CORE_NODES[node].VALIDATE_INPUTS(**inputs)
    if said is not True:
        raise UserError(str(said))
