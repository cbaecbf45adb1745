"""The blueprints: whole, and the picture of the workflows that have their nodes spread out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from controlstack.cli.app import app
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from tests.workflows.names import WORKFLOWS
from tools import blueprints
from tools.blueprints import BLUEPRINTS, INSIDE, OUTSIDE, Blueprint, document, path_of
from tools.workflow_layout import Canvas

POSE_DEPTH, THREE, HINT = BLUEPRINTS
each = pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda one: one.title)


def read(blueprint: Blueprint) -> dict[str, Any]:
    """The file as it is shipped."""
    found: dict[str, Any] = json.loads(path_of(blueprint).read_text(encoding="utf-8"))
    return found


def inside(whole: dict[str, Any]) -> dict[str, Any]:
    """Its one subgraph."""
    (found,) = whole["definitions"]["subgraphs"]
    return dict(found)


def without_places(value: Any) -> Any:
    """What is left when positions are taken out."""
    if isinstance(value, dict):
        return {k: without_places(v) for k, v in value.items() if k not in ("pos", "bounding")}
    return [without_places(one) for one in value] if isinstance(value, list) else value


@each
def test_the_file_is_what_the_tool_writes(
    blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blueprints, "_place", lambda nodes, links: None)
    now = without_places(document(blueprint))
    assert without_places(read(blueprint)) == now, "run: python -m tools.blueprints"


def test_there_are_no_others() -> None:
    assert set(blueprints.FOLDER.iterdir()) == {path_of(one) for one in BLUEPRINTS}


@each
def test_both_ends_of_each_link_agree(blueprint: Blueprint) -> None:
    graph = inside(read(blueprint))
    nodes = {node["id"]: node for node in graph["nodes"]}
    for link in graph["links"]:
        number, kind = link["id"], link["type"]
        if link["origin_id"] == INSIDE:
            origin = graph["inputs"][link["origin_slot"]]
            assert number in origin["linkIds"]
        else:
            origin = nodes[link["origin_id"]]["outputs"][link["origin_slot"]]
            assert number in origin["links"]
        assert origin["type"] == kind
        if link["target_id"] == OUTSIDE:
            assert number in graph["outputs"][link["target_slot"]]["linkIds"]
        else:
            assert nodes[link["target_id"]]["inputs"][link["target_slot"]]["link"] == number
    assert all(one["linkIds"] for one in (*graph["inputs"], *graph["outputs"]))


@each
def test_its_wires_run_left_to_right(blueprint: Blueprint) -> None:
    graph = inside(read(blueprint))
    order = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [[link[name] for name in order] for link in graph["links"]]
    between = [link for link in links if link[1] != INSIDE and link[3] != OUTSIDE]
    canvas = Canvas({"nodes": graph["nodes"], "links": between})
    assert canvas.crossings() == []
    assert canvas.touching() == 0
    left, _, width, _ = graph["inputNode"]["bounding"]
    assert left + width < canvas.x.min()
    assert graph["outputNode"]["bounding"][0] > (canvas.x + canvas.width).max()


def in_place_of(name: str, blueprint: Blueprint, wires: dict[str, str]) -> dict[str, Any]:
    """The shipped workflow `name` in API form of its own nodes, with the blueprint's inside in the
    place of its stack: `wires` say which node feeds each socket.
    """
    whole = json.loads((WORKFLOWS / f"{name}.json").read_text())
    spare = {"ControlStackLoader", "ControlStackAdd", "ControlStackApply", "ControlStackCanny"}
    nodes = {node["type"]: node for node in whole["nodes"]}
    apply = nodes["ControlStackApply"]["id"]
    gone = {node["id"] for node in whole["nodes"] if node["type"] in spare}
    # And what shows a hint that is made inside by now.
    gone |= {link[3] for link in whole["links"] if link[1] in gone - {apply}}
    outer = {**read(blueprint)["nodes"][0], "id": 900}
    links = [link for link in whole["links"] if link[3] not in gone]
    for link in links:
        if link[1] == apply:
            link[1:3] = [900, 0]
            outer["outputs"][0]["links"].append(link[0])
    for socket in outer["inputs"]:
        if socket["name"] in wires:
            origin = nodes[wires[socket["name"]]]
            number = 900 + len(links)
            place = outer["inputs"].index(socket)
            links.append([number, origin["id"], 0, 900, place, socket["type"]])
            socket["link"] = number
    kept = [node for node in whole["nodes"] if node["id"] not in gone]
    definitions = read(blueprint)["definitions"]
    return {**whole, "nodes": [*kept, outer], "links": links, "definitions": definitions}


WIRES = {
    "stack_pose_depth": (
        POSE_DEPTH,
        {
            "model": "CheckpointLoaderSimple",
            "pose hint": "ControlStackDrawPose",
            "depth hint": "ImageScale",
        },
    ),
    "canny": (
        HINT,
        {"model": "CheckpointLoaderSimple", "picture": "ImageScale"},
    ),
}


@pytest.mark.parametrize("name", WIRES)
def test_it_gives_the_picture_of_the_nodes_it_stands_for(name: str, tmp_path: Path) -> None:
    blueprint, wires = WIRES[name]
    whole = in_place_of(name, blueprint, wires)
    shown = whole["nodes"][-1]
    names = [one for _, one in shown["properties"]["proxyWidgets"]]
    shipped = load_workflow(WORKFLOWS / f"{name}.json", default_registry()).nodes.values()
    for node in shipped:
        if node.type == "ControlStackAdd":
            label = next(
                word for word in ("pose ", "depth ", "") if word in f"{node.title} ".lower()
            )
            for field, outside in (("strength", "strength"), ("end_percent", "end")):
                shown["widgets_values"][names.index(f"{label}{outside}")] = node.inputs[field]
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps(whole))
    pictures = [drawn(path, tmp_path) for path in (file, WORKFLOWS / f"{name}.json")]
    assert np.array_equal(*pictures)


def drawn(workflow: Path, out: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture of two steps on the demo model."""
    arguments = ["run", str(workflow), "--out", str(out), "--demo", "--set", "KSampler.steps=2"]
    arguments += ["--input", str(WORKFLOWS / "input")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    with Image.open(result.stdout.split("\n")[0]) as picture:
        return np.asarray(picture)


def test_what_is_shown_outside_reaches_the_inside() -> None:
    whole = read(THREE)
    names = [name for _, name in whole["nodes"][0]["properties"]["proxyWidgets"]]
    values = whole["nodes"][0]["widgets_values"]
    values[names.index("second strength")] = 0.3
    values[names.index("third end")] = 0.5
    graph = read_workflow(whole, default_registry(), "blueprint")
    lines = [node.inputs for node in graph.nodes.values() if node.type == "ControlStackAdd"]
    assert sorted((line["strength"], line["end_percent"]) for line in lines) == [
        *((0.3, 1.0), (1.0, 0.5), (1.0, 1.0)),
    ]
