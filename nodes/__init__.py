"""What a user wires: inputs, tooltips, one call each. Nothing heavy is imported before a node
runs."""

from pathlib import Path

from . import factors, factors_within, hints, report, stack, training
from .help_pages import WEB_DIRECTORY, serve_as_asked

NODE_CLASS_MAPPINGS: dict[str, type] = {
    **stack.NODE_CLASS_MAPPINGS,
    **factors.NODE_CLASS_MAPPINGS,
    **factors_within.NODE_CLASS_MAPPINGS,
    **report.NODE_CLASS_MAPPINGS,
    **hints.NODE_CLASS_MAPPINGS,
    **training.NODE_CLASS_MAPPINGS,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    **stack.NODE_DISPLAY_NAME_MAPPINGS,
    **factors.NODE_DISPLAY_NAME_MAPPINGS,
    **factors_within.NODE_DISPLAY_NAME_MAPPINGS,
    **report.NODE_DISPLAY_NAME_MAPPINGS,
    **hints.NODE_DISPLAY_NAME_MAPPINGS,
    **training.NODE_DISPLAY_NAME_MAPPINGS,
}

serve_as_asked(Path(__file__).parents[1])

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
