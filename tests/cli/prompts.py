"""Shipped workflows in API form, and names for what the fixtures give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

WORKFLOWS = Path(__file__).parents[2] / "workflows"

Run = Callable[..., Result]
Prompt = dict[str, dict[str, Any]]


def node_of(prompt: Prompt, class_type: str) -> dict[str, Any]:
    """The first node of a type."""
    return next(node for node in prompt.values() if node["class_type"] == class_type)
