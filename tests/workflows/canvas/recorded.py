"""Graphs with the canvas's own nodes, and what ComfyUI's front end sent for each.

`tools/record_canvas.py` writes `sent/NAME.json` beside `NAME.json`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

RANDOM = 0.4
"""What `Math.random` gave while the front end was recorded."""

PACKS: dict[str, str] = {}
"""The graphs that need a pack's JavaScript, by the name of its folder."""


def recording_of(name: str) -> Path:
    """Where the front end's prompt for the graph `name` is kept."""
    return FOLDER / "sent" / f"{name}.json"
