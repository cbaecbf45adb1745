"""What the front end's scripts may ask of the pack, by address."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""What is asked, as JSON -> the answer, as JSON. Raises UserError for what cannot be answered."""


def _later(module: str, name: str) -> Answer:
    """A function of this room, imported when it is first asked."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = getattr(import_module(f".{module}", __package__), name)(asked)
        return made

    return answer


ROUTES: dict[str, Answer] = {"/controlstack/steps": _later("steps", "steps")}


def serve_routes() -> None:
    """Answer at these addresses where a server of ComfyUI is."""
    if "server" in sys.modules and "folder_paths" in sys.modules:
        from ..hosts.comfy.routes import serve

        serve(ROUTES)
