"""Graphs with the canvas's own nodes: the same prompt as ComfyUI's front end sent for each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlstack.headless.graph.canvas_nodes import EVERYWHERE, VALUES
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import Graph, parse
from tests.workflows.canvas.recorded import FOLDER, RANDOM, recording_of

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

# The older front end numbered the nodes in a group; 1.49.6 gives them the next free ids.
OLD_IDS = {"group_nodes_menus": {f"9:{index}": f"21:{15 + index}" for index in range(6)}}


def flattened(name: str) -> Graph:
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return parse(document, name).graph(default_registry(), lambda _: lambda: RANDOM)


def sent(name: str) -> dict[str, Any]:
    """The recorded prompt, without Use Everywhere's nodes: run, they do nothing or give a value."""
    text = recording_of(name).read_text(encoding="utf-8")
    for old, new in OLD_IDS.get(name, {}).items():
        text = text.replace(f'"{old}"', f'"{new}"')
    prompt = json.loads(text)["prompt"]
    values = {
        key: next(iter(node["inputs"].values()))
        for key, node in prompt.items()
        if node["class_type"] in VALUES
    }
    return {
        key: {
            "class_type": node["class_type"],
            "inputs": {
                name: values.get(value[0], value) if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            },
        }
        for key, node in prompt.items()
        if node["class_type"] not in EVERYWHERE | VALUES
    }


# Inside of subgraphs that are off, in another: the front end sends them, and nothing takes them.
UNUSED = {"subgraph_modes": {"2:206:102", "2:207:102"}}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_front_end_sends(name: str) -> None:
    """Node for node; what only a muted node feeds is left out, and a note says so."""
    graph, expected = flattened(name), sent(name)
    for key in UNUSED.get(name, ()):
        del expected[key]
    left_out = [key for key in expected if key not in graph.nodes]
    for key in left_out:
        assert any(
            said.startswith(f"node {key} ") and "left out" in said for said in graph.notes
        ), key
        del expected[key]
    ours = {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]}
        for key, node in graph.prompt().items()
    }
    assert ours == expected
