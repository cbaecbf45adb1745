"""The training nodes in the embedded host, on the demo model."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from controlstack.demo.models import BASE
from controlstack.ground.errors import UserError
from controlstack.ground.parameters import settings_of
from controlstack.headless import folders
from controlstack.headless.host import EmbeddedHost
from controlstack.headless.host import use as folders_of
from controlstack.headless.models import loading
from controlstack.headless.models.encoders import ModelEncoders
from controlstack.headless.models.t2i_adapter import T2IAdapter
from controlstack.headless.sampling.sample import ksample
from controlstack.hosts import host
from controlstack.nodes.net_nodes import ControlStackSaveControlNet
from controlstack.nodes.stack import ControlStackAdd, ControlStackApply, ControlStackLoader
from controlstack.nodes.train_nodes import (
    ControlStackLossPlot,
    ControlStackTrain,
    ControlStackTrainingData,
)
from controlstack.nodes.train_values import Trainable
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.training import export
from controlstack.training.config import read_config
from controlstack.training.events import GAIN
from controlstack.training.gain import OWN_WINS
from controlstack.training.settings import TrainingSettings
from controlstack.training.trainable import is_copied, weights_hash
from tests.nodes.conftest import folders_in
from tests.nodes.training_nodes import SIDE, data_of, net_of, same, trained, weights
from tests.training_files import picture

Parts = tuple[Any, Any, Any]


@pytest.fixture(scope="module")
def parts() -> Parts:
    """MODEL, CLIP and VAE of the demo model; every test leaves them as they were."""
    return loading.load_checkpoint(BASE)


def run_folder(place: Path, name: str = "run") -> Path:
    return place / "output" / "controlstack" / "training" / name


@dataclass(frozen=True)
class Done:
    """A training that several tests look at: its folder, its inputs, and what came out."""

    place: Path
    net: Trainable
    data: Any
    control_net: Any
    trained: Trainable
    curve: Any
    sheet: Tensor


@pytest.fixture(scope="module")
def done(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Done:
    place = tmp_path_factory.mktemp("done")
    with folders_of(folders_in(place)):
        net, data = net_of(parts[0]), data_of(place / "data")
        return Done(place, net, data, *trained(parts, net, data))


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
        made = ksample(model, 7, 3, 3.0, "euler", "normal", words, empty, latent)
    samples: Tensor = made["samples"]
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


def test_the_trained_network_goes_straight_into_a_stack(
    parts: Parts, place: Path, done: Done
) -> None:
    steered = sampled(parts, done.control_net)
    assert not torch.equal(steered, sampled(parts, None))
    # It is a network of its own: whoever changes the other wire's does not change it.
    before = weights(done.trained)
    for parameter in done.trained.network.parameters():
        parameter.data.zero_()
    assert torch.equal(sampled(parts, done.control_net), steered)
    done.trained.network.load_state_dict(before)
    assert (done.curve.name, done.sheet.shape[0], done.sheet.shape[-1]) == ("run", 1, 3)


@pytest.mark.parametrize("kind", ["gaussian", "lite", "control_lora"])
def test_the_other_kinds_train(parts: Parts, place: Path, kind: str) -> None:
    net = net_of(parts[0], kind=kind)
    control_net, result, _, _ = trained(parts, net, data_of(place / "data"))
    assert not same(weights(result), weights(net))
    assert not torch.equal(sampled(parts, control_net), sampled(parts, None))


def test_precisions_one_after_another(parts: Parts, place: Path, done: Done) -> None:
    net, data, plain = done.net, done.data, weights(done.trained)
    half = weights(trained(parts, net, data, "half", precision="bf16")[1])
    again = weights(trained(parts, net, data, "again")[1])
    assert same(plain, again)
    assert not same(plain, half)
    assert {value.dtype for value in half.values()} == {torch.float32}


def test_cached_data_gives_the_same_network(parts: Parts, place: Path, done: Done) -> None:
    net, plain = done.net, done.trained
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


def with_other_weights(parts: Parts) -> Any:
    """A MODEL of the demo's shape whose encoder is another."""
    model = loading.load_checkpoint(BASE)[0]
    for weight in model.model.diffusion_model.parameters():
        weight.data += 0.01
    return model


@pytest.mark.parametrize("kind", ["controlnet", "lite"])
def test_a_network_begins_as_the_one_on_the_wire(parts: Parts, place: Path, kind: str) -> None:
    """What Train ControlNet gives as CONTROL_NET, to be trained further in another run."""
    first = trained(parts, net_of(parts[0], kind=kind), data_of(place / "data"))
    net = net_of(parts[0], kind=kind, start_from=first[0])
    assert same(weights(net), weights(first[1]))
    further = trained(parts, net, data_of(place / "data"), "further")[1]
    assert not same(weights(further), weights(net))
    assert same(weights(net_of(parts[0], kind=kind, start_from=first[0])), weights(first[1]))
    config = read_config(run_folder(place, "further") / "config.toml")
    assert config["network"]["start_from"] == "a ControlNet"
    assert config["network"]["transfer_from"] == ""
    assert further.about["start_from"] == "a ControlNet"


def test_a_network_is_moved_from_the_model_it_was_trained_on(
    parts: Parts, place: Path, done: Done
) -> None:
    begun, unmoved = weights(done.trained), {"start_from": done.control_net}
    same_model = net_of(parts[0], **unmoved, transfer_from=parts[0])
    assert same(weights(same_model), begun)
    old = with_other_weights(parts)
    moved = weights(net_of(parts[0], **unmoved, transfer_from=old))
    bases = [model.model.diffusion_model.state_dict() for model in (parts[0], old)]
    for name, value in begun.items():
        if is_copied(name):
            expected = value + (bases[0][name].float() - bases[1][name].float())
            torch.testing.assert_close(moved[name], expected)
            assert not torch.equal(moved[name], value)
        else:
            assert torch.equal(moved[name], value)


def test_what_names_no_network_to_start_from_is_said(parts: Parts, place: Path, done: Done) -> None:
    with pytest.raises(UserError, match="wire that to start_from"):
        net_of(parts[0], transfer_from=parts[0])
    with pytest.raises(
        UserError, match="is of the kind controlnet, and the network's kind is lite"
    ):
        net_of(parts[0], kind="lite", start_from=done.control_net)
    with pytest.raises(
        UserError, match="a ControlNet is a T2IAdapter without a ControlNet's copied"
    ):
        net_of(parts[0], start_from=T2IAdapter(torch.nn.Identity(), "x"))


class InterruptedInsideError(BaseException):
    """What newer ComfyUIs raise out of any layer of their own networks."""


def test_a_cancel_inside_of_an_encoder_saves_as_well(
    parts: Parts, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, data = net_of(parts[0]), data_of(place / "data")
    encode, steps = ModelEncoders.moments, list[int]()

    def interrupted(self: ModelEncoders, *given: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            raise InterruptedInsideError
        return encode(self, *given)

    monkeypatch.setattr(ModelEncoders, "moments", interrupted)
    with pytest.raises(InterruptedInsideError):
        trained(parts, net, data, steps=9)
    assert [one.name for one in (run_folder(place) / "checkpoints").iterdir()] == ["step-00000002"]
    taken = trained(parts, net, data, steps=9, take="newest")[1]
    assert not same(weights(taken), weights(net))


def test_what_a_cancelled_run_has_is_taken_without_more_training(parts: Parts, place: Path) -> None:
    net, data = net_of(parts[0]), data_of(place / "data", 12)
    asked = {"steps": 4, "validate_every": 1, "validation_steps": 1, "validation_count": 1}
    with host.use(Cancelling(after=2)), pytest.raises(CancelledError):
        trained(parts, net, data, **asked)
    with pytest.raises(UserError, match=r"step-00000002 .*: with resume it goes on, take = newest"):
        trained(parts, net, data, **asked)
    with host.use(Cancelling(after=0)) as watching:
        control_net, taken, curve, sheet = trained(parts, net, data, **asked, take="newest")
    assert watching.total == 0
    folder = run_folder(place) / "checkpoints" / "step-00000002" / "network"
    assert same(weights(taken), export.load_network(folder).state_dict())
    assert not same(weights(taken), weights(net))
    assert taken.about["steps"] == "step-00000002"
    assert not torch.equal(sampled(parts, control_net), sampled(parts, None))
    assert [one.step for one in curve.validations] == [0, 1]
    assert sheet.any()
    # It may be trained further, and a file of it is a ControlNet.
    again = trained(parts, taken, data, "again")[1]
    assert not same(weights(again), weights(taken))
    with safe_open(
        ControlStackSaveControlNet().save(taken, "cancelled", "diffusers", "fp32")["result"][0]
        + f"/{export.WEIGHTS}",
        "pt",
    ) as file:
        assert file.metadata()["steps"] == "step-00000002"


def test_the_best_network_is_taken_where_one_was_kept(parts: Parts, place: Path) -> None:
    net, data = net_of(parts[0]), data_of(place / "data", 12)
    asked = {"validate_every": 1, "validation_steps": 1, "validation_count": 1, "save_best": True}
    trained(parts, net, data, **asked)
    best = trained(parts, net, data, take="best")[1]
    assert same(weights(best), export.load_network(run_folder(place) / "best").state_dict())
    trained(parts, net, data, "without")
    with pytest.raises(UserError, match=r"without has no best network: .* save_best"):
        trained(parts, net, data, "without", take="best")
    with pytest.raises(UserError, match="nowhere has no checkpoint: train first"):
        trained(parts, net, data, "nowhere", take="newest")
    weights_file = (
        run_folder(place, "without") / "checkpoints/step-00000002/network" / export.WEIGHTS
    )
    weights_file.write_bytes(b"cut off")
    with pytest.raises(UserError, match="is damaged"):
        trained(parts, net, data, "without", take="newest")


def test_what_is_taken_counts_as_changed_when_it_is(parts: Parts, place: Path) -> None:
    changed = ControlStackTrain.IS_CHANGED
    assert changed(name="run") == changed(name="run", take="training") == ""
    assert changed(name="run", take="newest") == ""
    for name in (None, "../x"):
        looked = changed(name=name, take="newest")
        assert looked != looked
    net, data = net_of(parts[0]), data_of(place / "data")
    trained(parts, net, data)
    first = changed(name="run", take="newest")
    assert "step-00000002" in first
    assert changed(name="run", take="best") == ""
    trained(parts, net, data, resume=True, steps=3)
    assert changed(name="run", take="newest") != first


def test_a_cancelled_run_is_saved_and_goes_on_as_if_nothing_had_been(
    parts: Parts, place: Path
) -> None:
    net, data = net_of(parts[0]), data_of(place / "data")
    whole = trained(parts, net, data, "whole", steps=3, ema=0.5)[1]
    stopping = Cancelling(after=2)
    with host.use(stopping), pytest.raises(CancelledError):
        trained(parts, net, data, steps=3, ema=0.5)
    assert stopping.total == 3
    saved = run_folder(place) / "checkpoints"
    assert [found.name for found in saved.iterdir()] == ["step-00000002"]

    with host.use(Cancelling(after=0)) as watching:
        control_net, resumed, _, _ = trained(parts, net, data, resume=True, steps=3, ema=0.5)
    assert (watching.total, len(watching.shown)) == (1, 1)
    assert same(weights(resumed), weights(whole))
    assert not torch.equal(sampled(parts, control_net), sampled(parts, None))
    # What is finished is not trained again: there is nothing left to do.
    _, again, _, _ = trained(parts, net, data, resume=True, steps=3, ema=0.5)
    assert same(weights(again), weights(whole))


def test_a_run_is_not_begun_over_another(parts: Parts, done: Done) -> None:
    net, data = done.net, done.data
    with folders_of(folders_in(done.place)):
        with pytest.raises(UserError, match="holds the checkpoint step-00000002 of an earlier run"):
            trained(parts, net, data)
        with pytest.raises(UserError, match=r"rate: 0\.001 -> 0\.002"):
            trained(parts, net, data, resume=True, rate=0.002)
        with pytest.raises(UserError, match="hint_channels: '8,8,16,16' -> '8,8,8,8'"):
            trained(parts, net_of(parts[0], hint_channels="8,8,8,8"), data, resume=True)
        with pytest.raises(UserError, match="no checkpoint to resume from"):
            trained(parts, net, data, "another", resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_result_or_a_strangers_folder_is_not_trained_over(
    parts: Parts, place: Path, done: Done, resume: bool
) -> None:
    net, data = done.net, done.data
    shutil.copytree(run_folder(done.place), run_folder(place))
    shutil.rmtree(run_folder(place) / "checkpoints")
    (run_folder(place, "for") / "controlnet").mkdir(parents=True)
    for name in ("config.toml", "curve.jsonl", "controlnet/config.json"):
        (run_folder(place, "for") / name).write_text("mine")
    files = [one for one in (place / "output").rglob("*") if one.is_file()]
    before = [one.read_bytes() for one in files]
    for name in ("run", "for"):
        with pytest.raises(UserError, match=r"(no checkpoint left|holds something already)"):
            trained(parts, net, data, name, resume=resume, rate=0.5)
    assert [one.read_bytes() for one in files] == before


def test_sheets_are_shown_while_it_runs_and_the_curve_is_drawn(parts: Parts, place: Path) -> None:
    data = data_of(place / "data", 20, condition="canny")
    given = {"steps": 2, "validate_every": 1, "log_every": 1}
    tried = {"validation_steps": 2, "validation_count": 1, "validation_rows": 2}
    with host.use(Cancelling(after=0)) as watching:
        _, _, curve, sheet = trained(parts, net_of(parts[0]), data, **given, **tried)
    shown = [picture for picture in watching.shown if picture is not None]
    assert len(shown) == 2  # before the first step, and after it; the last is on the wire
    assert (sheet.shape[2], sheet.shape[1]) == shown[-1].size
    files = sorted((run_folder(place) / "sheets").iterdir())
    assert [file.name for file in files] == [f"step-{step:08}.png" for step in (0, 1, 2)]
    last = np.asarray(Image.open(files[-1]).convert("RGB"), np.float32) / 255
    assert np.array_equal(sheet[0].numpy(), last)
    assert [point.step for point in curve.points] == [1, 2]
    assert [one.step for one in curve.validations] == [0, 1, 2]
    first = curve.validations[0].figures
    assert "edge F1" in first
    assert (first[GAIN], first[OWN_WINS]) == (0.0, 0.5)  # nothing is learnt; two rows, one drawn

    (plot,) = ControlStackLossPlot().draw(curve)
    assert plot.shape[0] == 1
    assert min(plot.shape[1:3]) > 200
    assert plot.std() > 0.01


def test_saved_networks_are_found_again_and_nothing_is_overwritten(
    parts: Parts, place: Path, done: Done, caplog: pytest.LogCaptureFixture
) -> None:
    net, wanted = done.trained, sampled(parts, done.control_net)
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
        # An open safetensors file has keys() and is no mapping.
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
        assert file.metadata()["steps"] == "2"
    assert {value.dtype for value in weights(net).values()} == {torch.float32}


@pytest.mark.parametrize("format", ["single file", "diffusers"])
def test_an_ending_that_is_given_is_not_doubled(parts: Parts, place: Path, format: str) -> None:
    net, end = net_of(parts[0]), ".safetensors" if format == "single file" else ""
    for name, wanted in (("x.safetensors", "x"), ("x.SAFETENSORS", "x_2"), ("v1.5", "v1.5")):
        path = ControlStackSaveControlNet().save(net, name, format, "fp32")["result"][0]
        assert Path(path).name == wanted + end


def test_a_setting_that_is_none_stays_at_its_default(parts: Parts, place: Path) -> None:
    data = data_of(place / "data", resolution="64", max_rows=None, condition=None)
    trained(parts, net_of(parts[0], kind=None), data, steps=1, seed=None, validate_every=0)
    config = read_config(run_folder(place) / "config.toml")
    assert (config["training"]["steps"], config["training"]["seed"]) == (1, 0)
    assert settings_of(TrainingSettings, {"steps": None}, "it") == TrainingSettings()


def test_a_lite_network_is_saved_as_a_folder_alone(parts: Parts, place: Path) -> None:
    control_net, net, _, _ = trained(parts, net_of(parts[0], kind="lite"), data_of(place / "data"))
    with pytest.raises(UserError, match="LiteControlNet cannot be one file in ldm layout"):
        ControlStackSaveControlNet().save(net, "lite", "single file", "fp16")
    assert not (place / "models").exists()
    made = ControlStackSaveControlNet().save(net, "lite", "diffusers", "fp32")
    (loaded,) = ControlStackLoader().load("lite")
    assert torch.equal(sampled(parts, loaded), sampled(parts, control_net))
    assert "cannot read a lite network" in made["ui"]["text"][1]


def test_a_folder_in_the_way_is_said(parts: Parts, place: Path) -> None:
    (place / "models").write_text("a file where the folder belongs")
    with pytest.raises(UserError, match="cannot be written"):
        ControlStackSaveControlNet().save(net_of(parts[0]), "x", "diffusers", "fp16")


@pytest.mark.parametrize("format", ["single file", "diffusers"])
def test_two_that_save_at_once_get_a_name_each(
    parts: Parts, place: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Both have written their weights before either takes its name."""
    both = threading.Barrier(2)
    for name in ("save_single_file", "save_folder"):
        real = getattr(export, name)

        def then_wait(*given: Any, real: Any = real) -> None:
            real(*given)
            both.wait(60)

        monkeypatch.setattr(export, name, then_wait)
    nets = [net_of(parts[0]), net_of(parts[0], kind="gaussian")]
    saved: list[Any] = [None, None]

    def save(index: int) -> None:
        saved[index] = ControlStackSaveControlNet().save(nets[index], "mine", format, "fp32")

    # Threads begin without the folders that this one uses.
    threads = [threading.Thread(target=copy_context().run, args=(save, index)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    paths = [Path(one["result"][0]) for one in saved]
    ending = ".safetensors" if format == "single file" else ""
    assert {path.name for path in paths} == {f"mine{ending}", f"mine_2{ending}"}
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}


def test_a_name_that_no_file_can_have_is_said_before_anything_runs(
    parts: Parts, place: Path
) -> None:
    check = ControlStackSaveControlNet.VALIDATE_INPUTS
    assert check(name="x" * 100) is True
    assert "cannot be written" in str(check(name="x" * 300))
    with pytest.raises(UserError, match="cannot be written"):  # where it came through a link
        ControlStackSaveControlNet().save(net_of(parts[0]), "x" * 300, "diffusers", "fp16")
    assert not (place / "models").exists()
    (place / "models").write_text("a file where the folder belongs")
    assert "cannot be written" in str(check(name="x"))


def test_the_condition_is_a_menu_that_takes_what_was_typed_before() -> None:
    names, options = ControlStackTrainingData.INPUT_TYPES()["optional"]["condition"]
    assert names == ["", *PREPROCESSORS]
    assert options["default"] == ""
    check = ControlStackTrainingData.VALIDATE_INPUTS
    assert all(check(condition=name) is True for name in (*names, None))
    said = check(condition="cany")
    assert isinstance(said, str)
    assert "condition: There is no preprocessor 'cany'; did you mean canny?" in said
