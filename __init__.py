"""ControlStack: stack ControlNets on a locked U-Net. ComfyUI reads the three names below."""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; typing itself takes 10 ms to import
if TYPE_CHECKING:
    from typing import Any

    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, WEB_DIRECTORY

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]


def __getattr__(name: str) -> Any:
    """Import the nodes, and torch with them, when they are asked for: `--help` need not wait."""
    if name in __all__:
        from . import nodes

        return getattr(nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
