"""Training in a real server: progress and sheets over the wire, Cancel, resume, and the result in
the same graph and in ComfyUI's own loader."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow
from controlstack.hosts.host import PREVIEW
from tests.comfyui import shipped
from tests.comfyui.server import JPEG, Run, Server
from tests.training_files import fill50k, picture, save

SIDE = 64
ROWS = 12
STEPS = 3
TRAIN, SAVE, SAMPLER, PICTURE, SHEET = "14", "15", "26", "28", "16"

Nodes = dict[str, tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def data(server: Server) -> Path:
    """Training data beside the server's folders, and a hint among its inputs."""
    pytest.importorskip("accelerate", reason="install accelerate to train in ComfyUI")
    save(server.base / "input" / "train_hint.png", picture(100, SIDE, SIDE))
    return fill50k(server.base / "training data", ROWS, SIDE, SIDE)


def training(data: Path, name: str, **settings: Any) -> Nodes:
    """Base, network, data and the training, whose sheet is shown."""
    base = shipped.only(shipped.small("pose"), "CheckpointLoaderSimple")
    file = shipped.small("pose").nodes[base].inputs["ckpt_name"]
    given = {"steps": STEPS, "batch": 2, "rate": 0.001, "warmup": 0, "validate_every": 2}
    wires = {"model": ["11", 0], "clip": ["11", 1], "vae": ["11", 2]}
    return {
        "11": ("CheckpointLoaderSimple", {"ckpt_name": file}),
        "12": (
            "ControlStackControlNetFromModel",
            {"model": ["11", 0], "kind": "controlnet", "hint_channels": "16,32,96,256"}
            | {"hint_gain": 1.0, "net_seed": 1},
        ),
        "13": (
            "ControlStackTrainingData",
            {"path": str(data), "resolution": str(SIDE), "condition": "canny"},
        ),
        TRAIN: (
            "ControlStackTrain",
            {**wires, "net": ["12", 0], "data": ["13", 0], "name": name, "resume": False}
            | given
            | settings,
        ),
        SHEET: ("PreviewImage", {"images": [TRAIN, 3]}),
    }


def drawn(control_net: str | None) -> Nodes:
    """A picture with a CONTROL_NET on a stack, or with none."""
    model = ["24", 0] if control_net else ["11", 0]
    add = {"control_net": [control_net, 0], "image": ["22", 0]}
    nodes: Nodes = {
        "22": ("LoadImage", {"image": "train_hint.png"}),
        "23": ("ControlStackAdd", {**add, "strength": 1.0, "start_percent": 0.0}),
        "24": ("ControlStackApply", {"model": ["11", 0], "stack": ["23", 0]}),
        "25": ("CLIPTextEncode", {"clip": ["11", 1], "text": "a red circle"}),
        "27": ("EmptyLatentImage", {"width": SIDE, "height": SIDE, "batch_size": 1}),
        SAMPLER: (
            "KSampler",
            {"model": model, "positive": ["25", 0], "negative": ["25", 0]}
            | {"latent_image": ["27", 0], "seed": 1, "steps": 2, "cfg": 2.0}
            | {"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
        ),
        "29": ("VAEDecode", {"samples": [SAMPLER, 0], "vae": ["11", 2]}),
        PICTURE: ("SaveImage", {"images": ["29", 0], "filename_prefix": "trained"}),
    }
    nodes["23"][1]["end_percent"] = 1.0
    return nodes if control_net else {k: v for k, v in nodes.items() if k not in ("23", "24")}


def graph(nodes: Nodes) -> Graph:
    prompt = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in nodes.items()}
    return read_workflow(prompt, default_registry(), "training")


def pixels(server: Server, run: Run, node: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    (named,) = run.outputs[node]["images"]
    with Image.open(io.BytesIO(server.picture(named))) as image:
        return np.asarray(image.convert("RGB"))


def checkpoints(server: Server, name: str) -> list[str]:
    folder = server.base / "output" / "controlstack" / "training" / name / "checkpoints"
    return sorted(found.name for found in folder.iterdir())


def test_a_whole_training_and_its_result(server: Server, data: Path) -> None:
    net = {"net": [TRAIN, 1], "name": "ours", "format": "single file", "precision": "fp32"}
    whole = training(data, "whole") | drawn(TRAIN) | {SAVE: ("ControlStackSaveControlNet", net)}

    run = server.run(graph(whole))

    assert run.kinds[-2:] == ["execution_success", "executing"], run.of("execution_error")
    told = [event for event in run.of("progress") if event["node"] == TRAIN]
    assert [event["value"] for event in told if event["max"] == STEPS] == [1, 2, 3]
    # The sheets of step 0 and 2, each with the step after it, and the sampler's own.
    assert all(preview.startswith(JPEG) for preview in run.previews)
    height, width, _ = pixels(server, run, SHEET).shape
    shown = Image.open(io.BytesIO(run.previews[0])).size
    assert shown[0] == PREVIEW < width
    assert shown[1] / shown[0] == pytest.approx(height / width, abs=0.01)
    assert Image.open(io.BytesIO(run.previews[1])).size == shown
    steered = pixels(server, run, PICTURE)
    assert checkpoints(server, "whole") == ["step-00000003"]

    # Queued again, nothing is computed; no training is ever repeated by a click.
    again = server.run(graph(whole))
    assert set(again.of("execution_cached")[0]["nodes"]) == set(whole)

    # The saved file is one of ComfyUI's own, and gives the picture of the wire.
    for loader in ("ControlNetLoader", "ControlStackLoader"):
        listed = server.get(f"/object_info/{loader}").json[loader]["input"]["required"]
        assert "ours.safetensors" in str(listed["control_net_name"])
        load = {"30": (loader, {"control_net_name": "ours.safetensors"})}
        base = {"11": whole["11"]}
        loaded = pixels(server, server.run(graph(base | load | drawn("30"))), PICTURE)
        assert np.array_equal(loaded, steered)
    plain = pixels(server, server.run(graph({"11": whole["11"]} | drawn(None))), PICTURE)
    assert not np.array_equal(steered, plain)


def test_cancel_saves_and_resume_goes_on(server: Server, data: Path) -> None:
    clicks = []

    def cancel(kind: str, event: dict[str, Any]) -> None:
        # Newer hosts tell of some steps only.
        training = kind == "progress" and (event["node"], event["max"]) == (TRAIN, 500)
        if training and event["value"] >= 2 and not clicks:
            clicks.append(server.post("/interrupt", {}))

    cache = {"cache": str(server.base / "encoded")}
    long = training(data, "cancelled", steps=500, validate_every=0)
    long["13"][1].update(cache)
    stopped = server.run(graph(long), cancel)

    (told,) = stopped.of("execution_interrupted")
    assert told["node_id"] == TRAIN
    assert not stopped.of("execution_error")
    (saved,) = checkpoints(server, "cancelled")
    step = int(saved.removeprefix("step-"))
    assert 2 <= step < 500

    refused = server.run(graph(long))
    (error,) = refused.of("execution_error")
    assert error["node_id"] == TRAIN
    assert saved in error["exception_message"]
    assert "resume" in error["exception_message"]

    rest = training(data, "cancelled", steps=step + 2, validate_every=0, resume=True)
    rest["13"][1].update(cache)
    resumed = server.run(graph(rest))
    assert resumed.kinds[-2:] == ["execution_success", "executing"]
    told = [event for event in resumed.of("progress") if event["node"] == TRAIN]
    assert [(event["value"], event["max"]) for event in told] == [(1, 2), (2, 2)]
    assert checkpoints(server, "cancelled") == [saved, f"step-{step + 2:08}"]


def test_what_a_cancelled_run_has_is_taken_and_goes_into_a_picture(
    server: Server, data: Path
) -> None:
    """The same graph again, with `take` alone changed: stack and file have the checkpoint's net."""
    clicks = []

    def cancel(kind: str, event: dict[str, Any]) -> None:
        training = kind == "progress" and (event["node"], event["max"]) == (TRAIN, 500)
        if training and event["value"] >= 2 and not clicks:
            clicks.append(server.post("/interrupt", {}))

    net = {"net": [TRAIN, 1], "name": "taken", "format": "single file", "precision": "fp32"}
    rest = drawn(TRAIN) | {SAVE: ("ControlStackSaveControlNet", net)}
    long = training(data, "taken", steps=500, validate_every=0)
    assert server.run(graph(long | rest), cancel).of("execution_interrupted")
    (saved,) = checkpoints(server, "taken")
    (error,) = server.run(graph(long | rest)).of("execution_error")
    assert "take = newest gives its network" in error["exception_message"]

    long[TRAIN][1]["take"] = "newest"
    run = server.run(graph(long | rest))
    assert run.kinds[-2:] == ["execution_success", "executing"], run.of("execution_error")
    assert not [event for event in run.of("progress") if event["node"] == TRAIN]
    assert checkpoints(server, "taken") == [saved]
    assert set(server.run(graph(long | rest)).of("execution_cached")[0]["nodes"]) == {*long, *rest}
    load = {"30": ("ControlNetLoader", {"control_net_name": "taken.safetensors"})}
    loaded = server.run(graph({"11": long["11"]} | load | drawn("30")))
    assert np.array_equal(pixels(server, loaded, PICTURE), pixels(server, run, PICTURE))


@pytest.mark.parametrize("loader", ["ControlNetLoader", "ControlStackLoader"])
def test_training_starts_from_a_loaded_control_net(server: Server, data: Path, loader: str) -> None:
    """A step of rate 0 changes nothing: its picture is the file's, to the bit; so is one moved
    from the model itself."""
    name = shipped.control_net_names()[0]
    pictures = []
    for run_name, more in (("begun", {}), ("moved", {"transfer_from": ["11", 0]})):
        nodes = training(data, f"{run_name}-{loader}", steps=1, rate=0.0, validate_every=0)
        nodes["10"] = (loader, {"control_net_name": name})
        nodes["12"][1].update({"start_from": ["10", 0], **more})
        run = server.run(graph(nodes | drawn(TRAIN)))
        assert run.kinds[-2:] == ["execution_success", "executing"], run.of("execution_error")
        pictures.append(pixels(server, run, PICTURE))
    base = {"11": nodes["11"], "10": nodes["10"]}
    loaded = pixels(server, server.run(graph(base | drawn("10"))), PICTURE)
    assert all(np.array_equal(one, loaded) for one in pictures)
    plain = pixels(server, server.run(graph({"11": nodes["11"]} | drawn(None))), PICTURE)
    assert not np.array_equal(loaded, plain)


@pytest.mark.parametrize(
    ("node", "inputs", "says"),
    [
        ("13", {"path": "/nowhere/at all"}, "/nowhere/at all is not there"),
        ("13", {"resolution": "60"}, "'60'"),
        (TRAIN, {"precision": "fp16"}, "fp16 needs a GPU"),
        (TRAIN, {"resume": True}, "no checkpoint to resume from"),
        ("12", {"hint_channels": "many"}, "many"),
    ],
)
def test_bad_input_is_said_where_it_is(
    server: Server, data: Path, node: str, inputs: dict[str, Any], says: str
) -> None:
    nodes = training(data, "refused", validate_every=0)
    nodes[node][1].update(inputs)
    (error,) = server.run(graph(nodes)).of("execution_error")
    assert error["node_id"] == node
    assert says in error["exception_message"]


def test_a_name_that_leaves_its_folder_is_refused_before_anything_runs(
    server: Server, data: Path
) -> None:
    answer = server.queue(graph(training(data, "../elsewhere")))
    assert answer.status == 400
    assert list(answer.json["node_errors"]) == [TRAIN]
    assert "cannot be a ControlNet's name" in str(answer.json["node_errors"][TRAIN])
