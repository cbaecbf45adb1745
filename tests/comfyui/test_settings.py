"""In a real ComfyUI: a line that is off, a stack that is cut, and presets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlstack.headless.graph.model import Graph, Link, Node, Value
from tests.comfyui import shipped
from tests.comfyui.server import Run, Server
from tests.comfyui.test_server import fresh, pixels

DEPTH_LINE, APPLY, SAVE = "11", "12", "17"
DEPTH_ALONE = ("3", "8", "9")
"""The depth net's loader, and the nodes of its hint."""


def with_node(graph: Graph, key: str, node_type: str, **inputs: Value) -> Graph:
    return replace(graph, nodes={**graph.nodes, key: Node(key, node_type, inputs)})


def with_input(graph: Graph, key: str, name: str, value: Value) -> Graph:
    node = graph.nodes[key]
    changed = replace(node, inputs={**node.inputs, name: value})
    return replace(graph, nodes={**graph.nodes, key: changed})


def pose_and_depth() -> Graph:
    """Without previews, which need the hints themselves."""
    graph = fresh(shipped.small("stack_pose_depth"), "settings")
    kept = {key: node for key, node in graph.nodes.items() if node.type != "PreviewImage"}
    return replace(graph, nodes=kept)


def computed(run: Run) -> set[str]:
    return {event["node"] for event in run.of("executing")} - {None}


@pytest.fixture
def presets(server: Server) -> Iterator[Path]:
    """The server's folder of presets, empty again afterwards."""
    folder = server.base / "output" / "controlstack" / "presets"
    yield folder
    for path in folder.glob("*"):
        path.unlink()


def test_a_line_that_another_node_switches_off_makes_neither_net_nor_hint(server: Server) -> None:
    graph = with_node(pose_and_depth(), "on", "PrimitiveBoolean", value=False)
    graph = with_input(graph, DEPTH_LINE, "enabled", Link("on", 0))
    off = server.run(graph)
    assert computed(off) >= {DEPTH_LINE, APPLY, SAVE}
    assert not computed(off) & set(DEPTH_ALONE)

    on = server.run(with_input(graph, "on", "value", True))
    assert computed(on) >= {*DEPTH_ALONE, DEPTH_LINE}  # so none lay in the host's cache before
    both = server.run(with_input(pose_and_depth(), SAVE, "filename_prefix", "both"))
    silent = server.run(with_input(pose_and_depth(), DEPTH_LINE, "strength", 0.0))
    assert pixels(server, on) == pixels(server, both)
    assert pixels(server, off) == pixels(server, silent) != pixels(server, both)

    # Off again while net and hint lie in the host's cache: the same as when they were not made.
    again = with_input(graph, SAVE, "filename_prefix", "again")
    assert pixels(server, server.run(again)) == pixels(server, off)


def test_a_stack_is_cut_and_a_preset_put_on_and_saved(server: Server, presets: Path) -> None:
    graph = with_node(
        pose_and_depth(), "cut", "ControlStackCut", stack=Link("11", 0), lines="pose", mode="keep"
    )
    text = '{"controlstack_preset": 1, "controls": [{"name": "%s", "strength": 0.5}]}'
    name = str(graph.nodes["3"].inputs["control_net_name"])
    inputs: dict[str, Value] = {"stack": Link("cut", 0), "preset": text % name}
    graph = with_node(graph, "preset", "ControlStackPreset", **inputs)
    graph = with_node(graph, "save", "ControlStackSavePreset", stack=Link("preset", 0), name="mine")
    run = server.run(with_input(graph, APPLY, "stack", Link("preset", 0)))
    path, saved = run.outputs["save"]["text"]
    assert Path(path) == presets / "mine.json"
    assert Path(path).read_text() == saved
    pose, depth = json.loads(saved)["controls"]
    assert (pose["enabled"], depth["enabled"], depth["strength"]) == (True, False, 0.5)
    seen = replace(run, outputs={SAVE: run.outputs[SAVE]})
    assert pixels(server, seen) == pixels(server, server.run(_without_depth()))

    listed = server.get("/object_info/ControlStackLoadPreset").json["ControlStackLoadPreset"]
    assert listed["input"]["required"]["file"][0] == ["mine.json"]
    graph = with_node(pose_and_depth(), "load", "ControlStackLoadPreset", file="mine.json")
    inputs = {"stack": Link("11", 0), "preset": Link("load", 0)}
    graph = with_node(graph, "preset", "ControlStackPreset", **inputs)
    again = server.run(with_input(graph, APPLY, "stack", Link("preset", 0)))
    assert pixels(server, again) == pixels(server, seen)


def _without_depth() -> Graph:
    return with_input(pose_and_depth(), APPLY, "stack", Link("10", 0))


@pytest.mark.parametrize(
    ("node", "inputs", "said"),
    [
        ("ControlStackPreset", {"preset": "{"}, "the preset is not JSON"),
        ("ControlStackPreset", {"preset": '{"controlstack_preset": 2}'}, "version 2"),
        ("ControlStackSavePreset", {"name": "../x"}, "cannot be a preset's name"),
        ("ControlStackLoadPreset", {"file": "gone.json"}, "cannot read the preset"),
    ],
)
def test_what_is_no_preset_is_refused_before_anything_runs(
    server: Server, node: str, inputs: dict[str, Any], said: str
) -> None:
    graph = with_node(pose_and_depth(), "one", node, stack=Link("11", 0), **inputs)
    if node == "ControlStackLoadPreset":
        wires: dict[str, Value] = {"stack": Link("11", 0), "preset": Link("one", 0)}
        graph = with_node(graph, "two", "ControlStackPreset", **wires)
        graph = with_input(graph, APPLY, "stack", Link("two", 0))
    elif node == "ControlStackPreset":
        graph = with_input(graph, APPLY, "stack", Link("one", 0))
    answer = server.queue(graph)
    told = answer.json["node_errors"]["one"]["errors"]
    assert any(said in f"{error['message']} {error['details']}" for error in told)
    if answer.status == 200:  # the pictures that do not need it run all the same
        server.post("/interrupt", {})
