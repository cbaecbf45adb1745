"""What a user wires: inputs, tooltips, one call each. Nothing heavy is imported before a node
runs."""

from pathlib import Path

from . import factors, factors_within, hints, inspection, presets, stack, sweeps, training
from .help_pages import WEB_DIRECTORY, serve_as_asked
from .own_pictures import lend
from .routes import serve_routes

EVERY_NODE: dict[str, type] = {
    **stack.NODE_CLASS_MAPPINGS,
    **factors.NODE_CLASS_MAPPINGS,
    **factors_within.NODE_CLASS_MAPPINGS,
    **inspection.NODE_CLASS_MAPPINGS,
    **presets.NODE_CLASS_MAPPINGS,
    **sweeps.NODE_CLASS_MAPPINGS,
    **hints.NODE_CLASS_MAPPINGS,
    **training.NODE_CLASS_MAPPINGS,
}
"""Those of the embedded host."""
NODE_CLASS_MAPPINGS: dict[str, type] = hints.drawn_here(EVERY_NODE)
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    **stack.NODE_DISPLAY_NAME_MAPPINGS,
    **factors.NODE_DISPLAY_NAME_MAPPINGS,
    **factors_within.NODE_DISPLAY_NAME_MAPPINGS,
    **inspection.NODE_DISPLAY_NAME_MAPPINGS,
    **presets.NODE_DISPLAY_NAME_MAPPINGS,
    **sweeps.NODE_DISPLAY_NAME_MAPPINGS,
    **hints.NODE_DISPLAY_NAME_MAPPINGS,
    **training.NODE_DISPLAY_NAME_MAPPINGS,
}

PACK = Path(__file__).parents[1]
serve_as_asked(PACK)
lend(PACK)
serve_routes()

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
