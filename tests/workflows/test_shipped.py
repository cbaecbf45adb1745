"""Every shipped workflow, end to end on the demo model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from controlstack.cli.app import app
from controlstack.headless.graph.registry import default_registry, types_fit
from controlstack.headless.graph.workflow import load_workflow
from controlstack.nodes.rows import files_of, rows_of
from tests.workflows.names import ALL, DEMO, FAMILIES, SINKS, TRAINING, WORKFLOWS
from tools.workflow_layout import Canvas, Crossing

ROWS = "ControlStackRows"
FEW_STEPS = ("--demo", "--set", "KSampler.steps=2")

Draw = Callable[..., Sequence[Path]]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def _drawn(out: Path, workflow: Path, *arguments: str) -> list[Path]:
    """`controlstack run ...` that must succeed; the pictures it says it made."""
    result = CliRunner().invoke(
        app, ["run", str(workflow), "--out", str(out), *arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    return [Path(line) for line in result.stdout.splitlines()]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """`_drawn` into a folder of the test's own."""
    return partial(_drawn, tmp_path)


@pytest.fixture(scope="module")
def pose(tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """The picture of the shipped workflow "pose" after a few steps."""
    (picture,) = _drawn(tmp_path_factory.mktemp("pose"), _shipped("pose"), *FEW_STEPS)
    return _pixels(picture)


def _shipped(name: str) -> Path:
    return WORKFLOWS / f"{name}.json"


FIRST = ("canny", "depth", "pose", "stack_pose_depth", "step_ranges")
"""Those that people had before Add ControlNet got further inputs."""


SIZES = {"control_sweep": (892, 871)}
"""Of pictures that are no picture of the demo model: a sheet of six, twice as large each."""


def _steps(name: str) -> tuple[str, ...]:
    if name != "step_ranges":
        return FEW_STEPS
    samplers = ("With ranges", "The same seed, all steps")
    return ("--demo", *(part for s in samplers for part in ("--set", f"{s}.steps=2")))


def _pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def test_all_are_there() -> None:
    further = {
        "control_sweep",
        "controlnet_stack",
        "fine_control",
        "modes",
        "preset",
        "report",
        "switched_lines",
        "timeline",
    }
    assert set(DEMO) == {*FIRST, *further}
    assert set(ALL) == {*DEMO, *FAMILIES, *TRAINING}


@pytest.mark.parametrize("name", DEMO)
def test_it_runs_and_its_picture_runs_again(draw: Draw, name: str) -> None:
    pictures = draw(_shipped(name), *_steps(name))
    nodes = json.loads(_shipped(name).read_text())["nodes"]
    assert len(pictures) == sum(node["type"] == "SaveImage" for node in nodes)
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.size == SIZES.get(name, (128, 128))
            assert {"prompt", "workflow"} <= set(image.text)
        assert _pixels(picture).std() > 5  # no blank
    if name not in FIRST:
        return
    again = draw(pictures[0], "--demo", "--input", str(WORKFLOWS / "input"))
    for first, second in zip(pictures, again, strict=True):
        assert np.array_equal(_pixels(first), _pixels(second))


@pytest.mark.parametrize("name", DEMO)
def test_it_says_where_each_model_is_to_be_had(name: str) -> None:
    nodes = json.loads(_shipped(name).read_text())["nodes"]
    folders = {"CheckpointLoaderSimple": "checkpoints", "ControlStackLoader": "controlnet"}
    named = {
        node["id"]: [(folders[node["type"]], node["widgets_values"][0])]
        for node in nodes
        if node["type"] in folders
    }
    for node in nodes:
        if node["type"] == ROWS:
            named[node["id"]] = [("controlnet", one) for one in files_of(node["widgets_values"][0])]
    assert sum(map(len, named.values())) >= 2
    for node in nodes:
        models = node["properties"].get("models", [])
        assert [(one["directory"], one["name"]) for one in models] == named.get(node["id"], [])
        for model in models:
            assert model["url"].startswith("https://huggingface.co/")
            assert model["url"].endswith(f"/resolve/main/{model['name']}")


@pytest.mark.parametrize("name", ALL)
def test_both_ends_of_a_link_agree(name: str) -> None:
    document = json.loads(_shipped(name).read_text())
    nodes = {node["id"]: node for node in document["nodes"]}
    for link, origin, slot, target, target_slot, kind in document["links"]:
        assert link in nodes[origin]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][target_slot]["link"] == link
        assert nodes[origin]["outputs"][slot]["type"] == kind
        assert types_fit(kind, nodes[target]["inputs"][target_slot]["type"])
    stored = sum(len(o["links"]) for node in nodes.values() for o in node["outputs"])
    assert stored == len(document["links"])


@pytest.mark.parametrize("name", DEMO)
def test_its_sockets_are_those_of_the_nodes(name: str) -> None:
    registry = default_registry()
    for node in json.loads(_shipped(name).read_text())["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        spec = registry.spec(node["type"])
        sockets = [
            (entry.name, entry.type) for entry in spec.inputs.values() if not entry.is_widget
        ]
        wired = {entry["widget"]["name"] for entry in node["inputs"] if "widget" in entry}
        sockets += [(entry.name, entry.type) for entry in spec.widgets if entry.name in wired]
        if node["type"] == ROWS:  # those of its rows alone are drawn
            drawn = {entry["name"] for entry in node["inputs"]}
            assert {f"hint_{row.id}" for row in rows_of(node["widgets_values"][0])} <= drawn
            sockets = [one for one in sockets if one[0] in drawn]
        assert [(entry["name"], entry["type"]) for entry in node["inputs"]] == sockets
        given = tuple(entry["type"] for entry in node["outputs"])
        assert given == spec.outputs or (node["type"] in SINKS and not given)
        seeds = sum(field.has_seed_control for field in spec.widgets)
        uploads = node["type"] == "LoadImage"
        assert len(node["widgets_values"]) == len(spec.widgets) + seeds + uploads


@pytest.mark.parametrize("name", FIRST)
def test_as_it_was_saved_before_inputs_were_added_it_is_the_same(name: str, tmp_path: Path) -> None:
    """Add ControlNet had five sockets and widgets, and Apply ControlNet Stack needed its stack."""
    document = json.loads(_shipped(name).read_text())
    for node in document["nodes"]:
        if node["type"] == "ControlStackAdd":
            del node["inputs"][5:], node["widgets_values"][5:]
        if node["type"] == "ControlStackApply":
            node["widgets_values"] = []
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(document))
    registry = default_registry()
    now, then = (load_workflow(f, registry).prompt() for f in (_shipped(name), earlier))
    assert now.keys() == then.keys()
    for node_id, node in now.items():
        new = set(node["inputs"]) - set(then[node_id]["inputs"])
        assert new <= {"frames", "union_type", "enabled", "record"}
        assert {k: v for k, v in node["inputs"].items() if k not in new} == then[node_id]["inputs"]


@pytest.mark.parametrize("name", ALL)
def test_its_picture_lies_beside_it(name: str) -> None:
    with Image.open(WORKFLOWS / f"{name}.jpg") as image:
        assert image.format == "JPEG"
        assert min(image.size) >= 256


def test_the_api_form_gives_the_same_picture(draw: Draw, pose: Pixels, tmp_path: Path) -> None:
    graph = load_workflow(_shipped("pose"), default_registry())
    api = tmp_path / "api.json"
    api.write_text(json.dumps(graph.prompt()))
    (from_api,) = draw(api, *FEW_STEPS)
    assert np.array_equal(pose, _pixels(from_api))


def test_a_seed_means_a_picture(draw: Draw) -> None:
    first, again, other = (
        _pixels(draw(_shipped("pose"), *FEW_STEPS, "--seed", seed)[0]) for seed in ("5", "5", "6")
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_node_draws_what_a_chain_of_nodes_draws(draw: Draw) -> None:
    (rows,) = draw(_shipped("controlnet_stack"), *FEW_STEPS)
    (chain,) = draw(_shipped("stack_pose_depth"), *FEW_STEPS)
    assert np.array_equal(_pixels(rows), _pixels(chain))


def test_control_makes_a_difference(draw: Draw, pose: Pixels) -> None:
    (without,) = draw(_shipped("pose"), *FEW_STEPS, "--set", "ControlStackAdd.strength=0")
    assert not np.array_equal(pose, _pixels(without))


@pytest.mark.parametrize("name", ALL)
def test_wires_run_left_to_right_and_cross_no_node(name: str) -> None:
    document = json.loads(_shipped(name).read_text())
    canvas = Canvas(document)
    assert canvas.crossings() == []
    assert canvas.touching() == 0


def test_a_wire_that_runs_back_or_over_a_node_is_seen() -> None:
    document = json.loads(_shipped("pose").read_text())
    nodes = {node["id"]: node for node in document["nodes"]}
    link, origin, _, target, *_ = document["links"][0]
    other = next(key for key in nodes if key not in (origin, target))
    nodes[origin]["pos"], nodes[target]["pos"], nodes[other]["pos"] = [0, 0], [1400, 0], [700, 0]
    found = Canvas(document).crossings()
    assert Crossing(link, other) in found
    nodes[target]["pos"] = [-1400, 0]
    assert Crossing(link, None) in Canvas(document).crossings()
