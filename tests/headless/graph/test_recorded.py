"""Graphs with the canvas's own nodes: the same prompt as ComfyUI's front end sent for each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import Graph, parse
from tests.workflows.canvas.recorded import FOLDER, RANDOM, recording_of

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def flattened(name: str) -> Graph:
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return parse(document, name).graph(default_registry(), lambda _: lambda: RANDOM)


def sent(name: str) -> dict[str, Any]:
    recording = json.loads(recording_of(name).read_text(encoding="utf-8"))
    return {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]}
        for key, node in recording["prompt"].items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_the_front_end_sends(name: str) -> None:
    """Node for node; what only a muted node feeds is left out, and a note says so."""
    graph, expected = flattened(name), sent(name)
    left_out = [key for key in expected if key not in graph.nodes]
    for key in left_out:
        assert any(said.startswith(f"node {key} ") and "left out" in said for said in graph.notes)
        del expected[key]
    ours = {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]}
        for key, node in graph.prompt().items()
    }
    assert ours == expected
