"""ControlStack: stack ControlNets on a locked U-Net. ComfyUI reads the three names below."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, WEB_DIRECTORY

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]


def __getattr__(name: str) -> Any:
    """Import the nodes, and torch with them, when they are asked for: `--help` need not wait."""
    if name in __all__:
        from . import nodes

        return getattr(nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
