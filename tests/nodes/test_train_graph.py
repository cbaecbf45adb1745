"""Graphs of the training nodes in the embedded host: run, cached, refused, and read from files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.execute import Executor, Results
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from controlstack.nodes.train_nodes import ControlStackTrainingData
from tests.nodes.training_nodes import SIDE
from tests.training_files import fill50k, picture, save
from tests.workflows.names import SINKS

WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "train.json"


def graph_of(place: Path, **changed: dict[str, Any]) -> dict[str, Any]:
    """All training nodes and a picture with the result, in API form; `changed` inputs by node."""
    save(place / "input" / "hint.png", picture(100, SIDE, SIDE))
    prompt: dict[str, tuple[str, dict[str, Any]]] = {
        "base": ("CheckpointLoaderSimple", {"ckpt_name": "demo"}),
        "net": (
            "ControlStackControlNetFromModel",
            {
                "model": ["base", 0],
                "kind": "controlnet",
                "hint_channels": "8,8,16,16",
                "hint_gain": 1.0,
                "net_seed": 3,
            },
        ),
        "data": ("ControlStackTrainingData", {"path": str(place / "data"), "resolution": "64"}),
        "train": (
            "ControlStackTrain",
            {
                **{wire: ["base", slot] for slot, wire in enumerate(("model", "clip", "vae"))},
                **{"net": ["net", 0], "data": ["data", 0], "name": "graph", "resume": False},
                **{"steps": 2, "batch": 2, "rate": 0.001, "warmup": 0, "validate_every": 0},
                "log_every": 1,
            },
        ),
        "save": (
            "ControlStackSaveControlNet",
            {"net": ["train", 1], "name": "ours", "format": "single file", "precision": "fp16"},
        ),
        "plot": ("ControlStackLossPlot", {"curve": ["train", 2]}),
        "shown": ("PreviewImage", {"images": ["plot", 0]}),
        "hint": ("LoadImage", {"image": "hint.png"}),
        "add": (
            "ControlStackAdd",
            {"control_net": ["train", 0], "image": ["hint", 0], "strength": 1.0}
            | {"start_percent": 0.0, "end_percent": 1.0},
        ),
        "apply": ("ControlStackApply", {"model": ["base", 0], "stack": ["add", 0]}),
        "words": ("CLIPTextEncode", {"clip": ["base", 1], "text": "a red circle"}),
        "latent": ("EmptyLatentImage", {"width": SIDE, "height": SIDE, "batch_size": 1}),
        "sampler": (
            "KSampler",
            {
                **{"model": ["apply", 0], "positive": ["words", 0], "negative": ["words", 0]},
                **{"latent_image": ["latent", 0], "seed": 1, "steps": 2, "cfg": 2.0},
                **{"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
            },
        ),
        "decode": ("VAEDecode", {"samples": ["sampler", 0], "vae": ["base", 2]}),
        "picture": ("SaveImage", {"images": ["decode", 0], "filename_prefix": "x"}),
    }
    return {
        key: {"class_type": kind, "inputs": {**inputs, **changed.get(key, {})}}
        for key, (kind, inputs) in prompt.items()
    }


def run(place: Path, executor: Executor | None = None, **changed: dict[str, Any]) -> Results:
    registry = default_registry()
    graph = read_workflow(graph_of(place, **changed), registry, "test")
    validate(graph, registry)
    return (executor or Executor(registry)).run(graph)


def test_the_whole_graph_and_nothing_of_it_twice(place: Path) -> None:
    fill50k(place / "data", 5, SIDE, SIDE)
    executor = Executor(default_registry())
    first = run(place, executor)
    assert (place / "models" / "controlnet" / "ours.safetensors").is_file()
    assert first.value("train", 1).about["base"] == "demo"
    assert len(first.files()) == 1
    assert first.files("temp")
    checkpoints = place / "output" / "controlstack" / "training" / "graph" / "checkpoints"
    assert [found.name for found in checkpoints.iterdir()] == ["step-00000002"]

    assert not run(place, executor).seconds  # everything was kept
    again = run(place, executor, add={"strength": 0.5})
    assert "sampler" in again.seconds
    assert "train" not in again.seconds
    # Data that is new on the disk is looked at, and then trained on.
    save(place / "data" / "target" / "0.png", picture(77, SIDE, SIDE))
    changed = run(place, executor, train={"name": "changed"})
    assert {"data", "train", "save"} <= set(changed.seconds)
    assert (place / "models" / "controlnet" / "ours_2.safetensors").is_file()


@pytest.mark.parametrize(
    ("node", "inputs", "says"),
    [
        ("data", {"path": ""}, "has no path"),
        ("data", {"path": "/nowhere/at all"}, "/nowhere/at all is not there"),
        ("data", {"path": "EMPTY"}, "no layout that is known"),
        ("data", {"resolution": "500"}, "'500'"),
        ("data", {"condition": "cany"}, "canny"),
        ("train", {"name": "a/b"}, "'a/b' cannot be a ControlNet's name"),
        ("train", {"name": " "}, "cannot be a ControlNet's name"),
        ("train", {"steps": 0}, "steps"),
        ("train", {"rate": 1e5}, "step 1|step 2"),
        ("save", {"name": "../x"}, "'../x' cannot be a ControlNet's name"),
        ("save", {"precision": "fp8"}, "fp8"),
        ("net", {"hint_channels": "16,x"}, "16,x"),
    ],
)
def test_bad_input_is_said_in_a_sentence_with_its_node(
    place: Path, node: str, inputs: dict[str, Any], says: str
) -> None:
    fill50k(place / "data", 5, SIDE, SIDE)
    (place / "empty").mkdir()
    given = {k: str(place / "empty") if v == "EMPTY" else v for k, v in inputs.items()}
    with pytest.raises(UserError, match=says) as caught:
        run(place, **{node: given})
    words = str(caught.value)
    assert graph_of(place)[node]["class_type"] in words
    assert "Traceback" not in words
    assert not (place / "models").exists()


def test_a_bad_row_is_named(place: Path) -> None:
    folder = fill50k(place / "data", 5, SIDE, SIDE)
    (folder / "target" / "3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"1 of 5 rows(.|\n)*line 4(.|\n)*3\.png"):
        ControlStackTrainingData().open(path=str(folder), resolution="64")
    report = ControlStackTrainingData().open(path=str(folder), resolution="64", bad_rows="skip")
    assert "4 rows" in report[2]
    assert report[1].shape[-1] == 3


def marked(**settings: Any) -> float | str:
    return ControlStackTrainingData.IS_CHANGED(**settings)


def test_data_counts_as_changed_when_it_is(place: Path) -> None:
    folder = fill50k(place / "data", 3, SIDE, SIDE)
    settings = {"path": str(folder), "flip": None}
    first = marked(**settings)
    (folder / "cache").mkdir()
    (folder / "cache" / "latents.bin").write_bytes(b"made by the run itself")
    assert marked(**settings) == first
    os.utime(folder / "source" / "1.png", ns=(1, 1))
    second = marked(**settings)
    assert second != first
    text = (folder / "prompt.json").read_text()
    (folder / "prompt.json").write_text(text.replace("prompt 1", "other"))
    third = marked(**settings)
    assert third not in (first, second)
    lines = text.splitlines()
    (folder / "prompt.json").write_text("\n".join(lines[:2]))
    assert marked(**settings) not in (first, second, third)


@pytest.mark.parametrize("path", [None, "", "/nowhere/at all"])
def test_what_cannot_be_looked_at_is_looked_at_by_the_node(place: Path, path: str | None) -> None:
    answer = marked(path=path)
    assert answer != answer


def test_tables_of_a_data_set_count_and_the_hub_is_not_asked(place: Path) -> None:
    table = place / "set" / "train" / "data-00000-of-00001.arrow"
    table.parent.mkdir(parents=True)
    table.write_bytes(b"one")
    first = marked(path=str(place / "set"))
    table.write_bytes(b"another")
    assert marked(path=str(place / "set")) != first
    assert marked(path="fusing/fill50k") == marked(path="fusing/fill50k")


def test_settings_of_the_seeds_are_read_by_their_place() -> None:
    registry = default_registry()
    spec = registry.spec("ControlStackTrain")
    assert not any(field.has_seed_control for field in spec.widgets)
    values: list[Any] = [field.default for field in spec.widgets]
    names = [field.name for field in spec.widgets]
    values[names.index("seed")], values[names.index("log_every")] = 5, 77
    document = {
        "nodes": [{"id": 1, "type": "ControlStackTrain", "inputs": [], "widgets_values": values}],
        "links": [],
    }
    inputs = read_workflow(json.loads(json.dumps(document)), registry, "test").nodes["1"].inputs
    assert (inputs["seed"], inputs["log_every"]) == (5, 77)
    assert inputs["validate_every"] == 500


def test_the_workflow_to_begin_with_is_that_of_the_nodes() -> None:
    registry = default_registry()
    document = json.loads(WORKFLOW.read_text())
    for node in document["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        spec = registry.spec(node["type"])
        sockets = [(one.name, one.type) for one in spec.inputs.values() if not one.is_widget]
        assert [(one["name"], one["type"]) for one in node["inputs"]] == sockets
        given = [one["type"] for one in node["outputs"]]
        assert given == list(spec.outputs) or (node["type"] in SINKS and not given)
        assert len(node["widgets_values"]) == len(spec.widgets)
    nodes = load_workflow(WORKFLOW, registry).nodes.values()
    (train,) = (node for node in nodes if node.type == "ControlStackTrain")
    (save_node,) = (node for node in nodes if node.type == "ControlStackSaveControlNet")
    assert train.inputs["name"] == save_node.inputs["name"]
    assert (train.inputs["seed"], train.inputs["precision"]) == (0, "bf16")
