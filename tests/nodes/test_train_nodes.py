"""The training nodes in the embedded host, on the demo model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from controlstack.demo.models import BASE
from controlstack.errors import UserError
from controlstack.headless import folders
from controlstack.headless.core_nodes.sampling import KSampler
from controlstack.headless.graph.execute import Executor, Results
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from controlstack.headless.host import EmbeddedHost
from controlstack.headless.models import loading
from controlstack.nodes import host
from controlstack.nodes.net_nodes import ControlStackSaveControlNet
from controlstack.nodes.stack import ControlStackAdd, ControlStackApply, ControlStackLoader
from controlstack.nodes.train_nodes import ControlStackLossPlot, ControlStackTrainingData
from controlstack.training.copy import weights_hash
from tests.nodes.training_nodes import SIDE, data_of, net_of, same, trained, weights
from tests.training_files import fill50k, picture, save

Parts = tuple[Any, Any, Any]
WORKFLOW = Path(__file__).resolve().parents[2] / "docs" / "train-workflow.json"


@pytest.fixture(scope="module")
def parts() -> Parts:
    """MODEL, CLIP and VAE of the demo model; every test leaves them as they were."""
    return loading.load_checkpoint(BASE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the embedded host's folders in it."""
    monkeypatch.setattr(host, "_installed", [EmbeddedHost()])
    used = folders.Folders(
        (tmp_path / "models",),
        (tmp_path / "input",),
        tmp_path / "output",
        tmp_path / "temp",
        {"checkpoints": {"demo": BASE}},
    )
    with folders.use(used):
        yield tmp_path


def run_folder(place: Path, name: str = "run") -> Path:
    return place / "output" / "controlstack" / "training" / name


def sampled(parts: Parts, control_net: Any | None) -> Tensor:
    """The latent after three steps, with a control on a stack or without."""
    model, clip, _ = parts
    hint = torch.from_numpy(picture(100, SIDE, SIDE)).float()[None] / 255
    if control_net is not None:
        (stack,) = ControlStackAdd().add(control_net, hint, 1.0, 0.0, 1.0)
        (model,) = ControlStackApply().apply(model, stack)
    latent = {"samples": torch.zeros(1, 4, SIDE // 8, SIDE // 8)}
    with torch.no_grad():
        words, empty = clip.encode("a red circle"), clip.encode("")
        made = KSampler().sample(model, 7, 3, 3.0, "euler", "normal", words, empty, latent)
    samples: Tensor = made[0]["samples"]
    return samples


def test_an_untrained_network_changes_nothing(parts: Parts, place: Path) -> None:
    control_net = host.current().control_net_of(net_of(parts[0]).network, "new")
    assert torch.equal(sampled(parts, control_net), sampled(parts, None))


@pytest.mark.parametrize("decoder", [False, True])
def test_training_leaves_model_and_wires_as_they_were(
    parts: Parts, place: Path, decoder: bool
) -> None:
    networks = (parts[0].model.diffusion_model, parts[1].text_encoder, parts[2].autoencoder)
    before, plain = [weights_hash(network) for network in networks], sampled(parts, None)
    net = net_of(parts[0])
    begun, data = weights(net), data_of(place / "data")
    first = trained(parts, net, data, "first", unlock_decoder=decoder)[1]
    second = trained(parts, net, data, "second", unlock_decoder=decoder)[1]
    assert same(weights(net), begun)
    assert same(weights(first), weights(second))
    assert not same(weights(first), begun)
    assert [weights_hash(network) for network in networks] == before
    assert torch.equal(sampled(parts, None), plain)


def test_the_trained_network_goes_straight_into_a_stack(parts: Parts, place: Path) -> None:
    control_net, net, curve, sheet = trained(parts, net_of(parts[0]), data_of(place / "data"))
    steered = sampled(parts, control_net)
    assert not torch.equal(steered, sampled(parts, None))
    # It is a network of its own: whoever changes the other wire's does not change it.
    for parameter in net.network.parameters():
        parameter.data.zero_()
    assert torch.equal(sampled(parts, control_net), steered)
    assert (curve.name, sheet.shape[0], sheet.shape[-1]) == ("run", 1, 3)


@pytest.mark.parametrize("kind", ["gaussian", "lite"])
def test_the_other_kinds_train(parts: Parts, place: Path, kind: str) -> None:
    net = net_of(parts[0], kind=kind)
    control_net, result, _, _ = trained(parts, net, data_of(place / "data"))
    assert not same(weights(result), weights(net))
    assert not torch.equal(sampled(parts, control_net), sampled(parts, None))


def test_precisions_one_after_another(parts: Parts, place: Path) -> None:
    net, data = net_of(parts[0]), data_of(place / "data")
    plain = weights(trained(parts, net, data, "first")[1])
    half = weights(trained(parts, net, data, "half", precision="bf16")[1])
    again = weights(trained(parts, net, data, "again")[1])
    assert same(plain, again)
    assert not same(plain, half)
    assert {value.dtype for value in half.values()} == {torch.float32}


def test_cached_data_gives_the_same_network(parts: Parts, place: Path) -> None:
    net = net_of(parts[0])
    plain = trained(parts, net, data_of(place / "data"), "plain")[1]
    cached = data_of(place / "data", cache=str(place / "cache"))
    for name in ("fills the cache", "reads the cache"):
        again = trained(parts, net, cached, name)[1]
        for key, value in weights(plain).items():
            torch.testing.assert_close(weights(again)[key], value, rtol=1e-4, atol=1e-5)


class CancelledError(Exception):
    """What a host raises out of its progress bar when its user clicks Cancel."""


class Cancelling(EmbeddedHost):
    """A host whose user cancels in the middle of the training, and that keeps what was shown."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.shown: list[Any] = []
        self.total = 0

    @contextmanager
    def steps(self, total: int, text: str) -> Iterator[Any]:
        if text == "training":
            self.total = total
        yield self if text == "training" else self._Others()

    class _Others:
        def advance(self, picture: Any = None) -> None:
            return None

    def advance(self, picture: Any = None) -> None:
        self.shown.append(picture)
        if len(self.shown) == self.after:
            raise CancelledError


def test_a_cancelled_run_is_saved_and_goes_on_as_if_nothing_had_been(
    parts: Parts, place: Path
) -> None:
    net, data = net_of(parts[0]), data_of(place / "data")
    whole = trained(parts, net, data, "whole", steps=4, ema=0.5)[1]
    stopping = Cancelling(after=2)
    host.install(stopping)
    with pytest.raises(CancelledError):
        trained(parts, net, data, steps=4, ema=0.5)
    assert stopping.total == 4
    saved = run_folder(place) / "checkpoints"
    assert [found.name for found in saved.iterdir()] == ["step-00000002"]

    host.install(watching := Cancelling(after=0))
    control_net, resumed, _, _ = trained(parts, net, data, resume=True, steps=4, ema=0.5)
    assert (watching.total, len(watching.shown)) == (2, 2)
    assert same(weights(resumed), weights(whole))
    assert not torch.equal(sampled(parts, control_net), sampled(parts, None))
    # What is finished is not trained again: there is nothing left to do.
    _, again, _, _ = trained(parts, net, data, resume=True, steps=4, ema=0.5)
    assert same(weights(again), weights(whole))


def test_a_run_is_not_begun_over_another(parts: Parts, place: Path) -> None:
    net, data = net_of(parts[0]), data_of(place / "data")
    trained(parts, net, data)
    with pytest.raises(UserError, match="holds the checkpoint step-00000003 of an earlier run"):
        trained(parts, net, data)
    with pytest.raises(UserError, match=r"rate: 0\.001 -> 0\.002"):
        trained(parts, net, data, resume=True, rate=0.002)
    with pytest.raises(UserError, match="hint_channels: '8,8,16,16' -> '8,8,8,8'"):
        trained(parts, net_of(parts[0], hint_channels="8,8,8,8"), data, resume=True)
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        trained(parts, net, data, "another", resume=True)


def test_sheets_are_shown_while_it_runs_and_the_curve_is_drawn(parts: Parts, place: Path) -> None:
    host.install(watching := Cancelling(after=0))
    data = data_of(place / "data", 20, condition="canny")
    _, _, curve, sheet = trained(
        parts, net_of(parts[0]), data, steps=2, validate_every=1, log_every=1
    )
    shown = [picture for picture in watching.shown if picture is not None]
    assert len(shown) == 2  # before the first step, and after it; the last is on the wire
    assert (sheet.shape[2], sheet.shape[1]) == shown[-1].size
    files = sorted((run_folder(place) / "sheets").iterdir())
    assert [file.name for file in files] == [f"step-{step:08}.png" for step in (0, 1, 2)]
    last = np.asarray(Image.open(files[-1]).convert("RGB"), np.float32) / 255
    assert np.array_equal(sheet[0].numpy(), last)
    assert [point.step for point in curve.points] == [1, 2]
    assert [one.step for one in curve.validations] == [0, 1, 2]
    assert "edge F1" in curve.validations[0].figures

    (plot,) = ControlStackLossPlot().draw(curve)
    assert plot.shape[0] == 1
    assert min(plot.shape[1:3]) > 200
    assert plot.std() > 0.01


def test_saved_networks_are_found_again_and_nothing_is_overwritten(
    parts: Parts, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control_net, net, _, _ = trained(parts, net_of(parts[0]), data_of(place / "data"))
    wanted = sampled(parts, control_net)
    expected = ["v1.5.safetensors", "v1.5_2.safetensors", "v1.5", "v1.5_2"]
    for name, kind in zip(expected, ("single file",) * 2 + ("diffusers",) * 2, strict=True):
        made = ControlStackSaveControlNet().save(net, "v1.5", kind, "fp32")
        assert made["result"] == (str(place / "models" / "controlnet" / name),)
        assert made["ui"]["text"][0] == made["result"][0]
        (loaded,) = ControlStackLoader().load(name)
        torch.testing.assert_close(sampled(parts, loaded), wanted, rtol=1e-4, atol=1e-4)
    assert folders.names("controlnet") == sorted(expected)
    # Such a small network is none of ComfyUI's, which is said where it is seen.
    assert "ComfyUI's own loader cannot read" in made["ui"]["text"][1]
    assert "ComfyUI's own loader cannot read" in caplog.text
    half = ControlStackSaveControlNet().save(net, "half", "single file", "fp16")["result"][0]
    with safe_open(half, "pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
        assert file.metadata()["steps"] == "3"
    assert {value.dtype for value in weights(net).values()} == {torch.float32}


def test_a_lite_network_is_saved_as_a_folder_alone(parts: Parts, place: Path) -> None:
    control_net, net, _, _ = trained(parts, net_of(parts[0], kind="lite"), data_of(place / "data"))
    with pytest.raises(UserError, match="LiteControlNet cannot be one file in ldm layout"):
        ControlStackSaveControlNet().save(net, "lite", "single file", "fp16")
    assert not (place / "models").exists()
    made = ControlStackSaveControlNet().save(net, "lite", "diffusers", "fp32")
    (loaded,) = ControlStackLoader().load("lite")
    assert torch.equal(sampled(parts, loaded), sampled(parts, control_net))
    assert "cannot read a lite network" in made["ui"]["text"][1]


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
    checkpoints = run_folder(place, "graph") / "checkpoints"
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
        if node["type"] == "Note":
            continue
        spec = registry.spec(node["type"])
        sockets = [(one.name, one.type) for one in spec.inputs.values() if not one.is_widget]
        assert [(one["name"], one["type"]) for one in node["inputs"]] == sockets
        assert [one["type"] for one in node["outputs"]] == list(spec.outputs)
        assert len(node["widgets_values"]) == len(spec.widgets)
    nodes = load_workflow(WORKFLOW, registry).nodes.values()
    (train,) = (node for node in nodes if node.type == "ControlStackTrain")
    (save_node,) = (node for node in nodes if node.type == "ControlStackSaveControlNet")
    assert train.inputs["name"] == save_node.inputs["name"]
    assert (train.inputs["seed"], train.inputs["precision"]) == (0, "bf16")


def test_a_folder_in_the_way_is_said(parts: Parts, place: Path) -> None:
    (place / "models").write_text("a file where the folder belongs")
    with pytest.raises(UserError, match="cannot be written"):
        ControlStackSaveControlNet().save(net_of(parts[0]), "x", "diffusers", "fp16")
