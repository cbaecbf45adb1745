"""Graphs with the canvas's own nodes, and what ComfyUI's front end sent for each.

`tools/record_canvas.py` writes `sent/NAME.json` beside `NAME.json`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

RANDOM = 0.4
"""What `Math.random` gave while the front end was recorded."""

PACKS = {
    "set_get": "ComfyUI-KJNodes",
    "switches": "rgthree-comfy",
    "everywhere": "cg-use-everywhere",
    "everywhere_rules": "cg-use-everywhere",
    "everywhere_subgraph": "cg-use-everywhere",
    "everywhere_6": "cg-use-everywhere",
}
"""The graphs that need a pack's JavaScript, by the name of its folder."""

OLDER = ("group_nodes_menus",)
"""Recorded in ComfyUI 0.3.64 with front end 1.27.10, the last tried that still had group nodes."""

READ = ("easy_set_get", "everywhere_old")
"""Not recorded, for the packs' scripts fail on these in front end 1.49.6. What is kept as sent was
told from reading them."""


def recording_of(name: str) -> Path:
    """Where the front end's prompt for the graph `name` is kept."""
    return FOLDER / "sent" / f"{name}.json"
