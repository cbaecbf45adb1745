"""A checkpoint that somebody or something changed: the file is named, and an older whole one goes
on. CONTROLSTACK_FLIPS is how many random bits are tried (20).
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from controlstack.ground.errors import UserError
from controlstack.training.checkpoint import Checkpoints
from controlstack.training.control_net import _groups, _records
from controlstack.training.curve import read_curve
from controlstack.training.events import Validation
from controlstack.training.loop import Loop, Task
from controlstack.training.manifest import MANIFEST
from controlstack.training.processes import accelerator_for
from controlstack.training.resume import go_on, in_force
from controlstack.training.row_order import Shares
from controlstack.training.settings import NetSettings, TrainingSettings
from controlstack.training.trainable import control_net_from, started_from
from tests.training.small_runs import (
    NET,
    notes_in,
    same_weights,
    small_run,
    small_unet,
    stop_after,
)

FLIPS = int(os.environ.get("CONTROLSTACK_FLIPS", "20"))
WEIGHTS = "network/diffusion_pytorch_model.safetensors"
FILES = (WEIGHTS, "network/config.json", "settings.json", "state.pt", MANIFEST)

Damage = Callable[[Path], object]


class Kept:
    """Two checkpoints of a run, and a loop that could go on from either: a lite network, which has
    few tensors.
    """

    def __init__(self, folder: Path) -> None:
        given = {"ema": 0.9, "save_every": 3, "steps": 6, "log_every": 4}
        unet = small_unet()
        self.network = control_net_from(unet, NetSettings("lite", "4,4,8,8"), 3)
        small_run(folder, network=self.network, **given)
        self.checkpoints = Checkpoints(folder / "checkpoints", 3)
        settings = TrainingSettings(batch=2, rate=1e-3, warmup=2, **given)
        self.names = in_force(settings, {"data": "rows"}, Shares(2))
        task = Task(
            nn.ModuleList([self.network]),
            _groups(self.network.requires_grad_(True), unet.requires_grad_(False), settings),
            lambda step, part: torch.zeros(()),
        )
        self.loop = Loop(task, settings, accelerator_for(torch.device("cpu"), "fp32"))
        self.loop.records = _records(self.checkpoints, self.network, unet, settings, self.names)

    def go_on(self) -> list[str]:
        return go_on(self.checkpoints, self.names, self.loop.resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("damage") / "run")


@pytest.fixture
def kept(whole: Kept, tmp_path: Path) -> Kept:
    """The same with checkpoints of its own."""
    shutil.copytree(whole.checkpoints.folder, tmp_path / "checkpoints")
    checkpoints = replace(whole.checkpoints, folder=tmp_path / "checkpoints")
    mine = Kept.__new__(Kept)
    mine.checkpoints, mine.names, mine.loop = checkpoints, whole.names, whole.loop
    mine.network = whole.network
    assert mine.loop.records
    mine.loop.records = replace(mine.loop.records, checkpoints=checkpoints)
    return mine


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def garbage(file: Path) -> None:
    file.write_bytes(random.Random(3).randbytes(file.stat().st_size))


def longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def missing(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


PLAIN = (cut, empty, zeros, garbage, longer, missing, a_folder, a_pipe, a_loop)


def _falls_back(kept: Kept, name: str) -> None:
    """The newest is refused with its file's name, and the older one is what goes on."""
    (said,) = kept.go_on()
    older, newer = kept.checkpoints.of(3), kept.checkpoints.of(6)
    assert said.startswith(f"{newer / name} is damaged: "), said
    assert said.endswith(f"; the training goes on from {older}")
    assert "\n" not in said
    assert kept.loop.step == 3
    found, wanted = kept.network.state_dict(), load_file(older / WEIGHTS)
    live = torch.load(older / "state.pt", weights_only=True)["live"]
    assert kept.loop.ema
    for key, average in kept.loop.ema.average.items():
        number, _, rest = key.partition(".")
        if number == "0":
            assert torch.equal(average, wanted[rest])
            assert torch.equal(found[rest], live[key])


@pytest.mark.parametrize("damage", PLAIN)
@pytest.mark.parametrize("name", FILES)
def test_whatever_happened_to_a_file_an_older_checkpoint_goes_on(
    kept: Kept, name: str, damage: Damage
) -> None:
    if (name, damage) == (MANIFEST, missing):  # as checkpoints from before there were any
        damage(kept.checkpoints.of(6) / name)
        assert kept.go_on() == []
        assert kept.loop.step == 6
        return
    damage(kept.checkpoints.of(6) / name)
    _falls_back(kept, name)


def test_no_flipped_bit_is_learnt_from(kept: Kept) -> None:
    newer, chance = kept.checkpoints.of(6), random.Random(5)
    for _ in range(FLIPS):
        name = chance.choice(FILES)
        before = (newer / name).read_bytes()
        bits = bytearray(before)
        bits[chance.randrange(len(bits))] ^= 1 << chance.randrange(8)
        (newer / name).write_bytes(bits)
        if name == MANIFEST:  # the file that its flipped digest is of, or the manifest itself
            assert kept.go_on(), bits
            assert kept.loop.step == 3
        else:
            _falls_back(kept, name)
        (newer / name).write_bytes(before)


@pytest.mark.parametrize("damage", [cut, empty, garbage, missing, a_folder, a_pipe])
@pytest.mark.parametrize("name", FILES[:-1])
def test_without_a_manifest_the_content_is_looked_at(kept: Kept, name: str, damage: Damage) -> None:
    newer = kept.checkpoints.of(6)
    (newer / MANIFEST).unlink()
    damage(newer / name)
    _falls_back(kept, name)


def _first(tensors: dict[str, Tensor]) -> str:
    return next(name for name, one in tensors.items() if one.ndim > 1)


def bad_number(number: float) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[_first(tensors)].view(-1)[1] = number

    damage.__name__ = str(number)
    return damage


def another_shape(tensors: dict[str, Tensor]) -> None:
    tensors[_first(tensors)] = tensors[_first(tensors)].reshape(-1)


def another_type(tensors: dict[str, Tensor]) -> None:
    tensors[_first(tensors)] = tensors[_first(tensors)].half()


def one_less(tensors: dict[str, Tensor]) -> None:
    del tensors[_first(tensors)]


def another_name(tensors: dict[str, Tensor]) -> None:
    tensors["another"] = tensors.pop(_first(tensors))


WRONG = (
    *map(bad_number, (math.nan, math.inf, -math.inf)),
    *(another_shape, another_type, one_less, another_name),
)


@pytest.mark.parametrize("damage", WRONG, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", [WEIGHTS, "live", "moments"])
def test_tensors_of_no_use_are_refused_even_if_the_manifest_says_nothing(
    kept: Kept, name: str, damage: Callable[[dict[str, Tensor]], None]
) -> None:
    newer = kept.checkpoints.of(6)
    (newer / MANIFEST).unlink()
    if name == WEIGHTS:
        tensors = load_file(newer / name)
        damage(tensors)
        save_file(tensors, newer / name)
        _falls_back(kept, name)
        return
    state = torch.load(newer / "state.pt", weights_only=True)
    moments = state["optimiser"]["state"]
    damage(state["live"] if name == "live" else moments[len(moments) - 2])
    torch.save(state, newer / "state.pt")
    _falls_back(kept, "state.pt")


def _state_changes() -> dict[str, Callable[[dict[str, Any]], object]]:
    return {
        "another step": lambda state: state.update(step=5),
        "a step that is none": lambda state: state.update(step="6"),
        "no step": lambda state: state.pop("step"),
        "no losses": lambda state: state.update(losses=None),
        "a loss that is none": lambda state: state["losses"].append(math.nan),
        "a text as loss": lambda state: state["losses"].append("0.5"),
        "a time that is none": lambda state: state.update(elapsed=math.inf),
        "no optimiser": lambda state: state.pop("optimiser"),
        "an optimiser that is none": lambda state: state.update(optimiser=[1]),
        "one parameter's state gone": lambda state: state["optimiser"]["state"].pop(3),
        "a rate that is none": lambda state: state["optimiser"]["param_groups"][0].update(
            lr=math.nan
        ),
    }


@pytest.mark.parametrize("change", _state_changes())
def test_a_state_of_no_use_is_refused(kept: Kept, change: str) -> None:
    file = kept.checkpoints.of(6) / "state.pt"
    (file.parent / MANIFEST).unlink()
    state = torch.load(file, weights_only=True)
    _state_changes()[change](state)
    torch.save(state, file)
    _falls_back(kept, "state.pt")


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"a": NaN}', "[" * 5000, '{"a": 1, "a": 2}', "\ud800"]
)
@pytest.mark.parametrize("name", ["settings.json", "network/config.json", MANIFEST])
def test_json_of_no_use_is_refused(kept: Kept, name: str, text: str) -> None:
    newer = kept.checkpoints.of(6)
    if name != MANIFEST:
        (newer / MANIFEST).unlink()
    (newer / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    _falls_back(kept, name)


def test_no_code_in_a_checkpoint_runs(kept: Kept, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    newer = kept.checkpoints.of(6)
    (newer / MANIFEST).unlink()
    torch.save({"step": Evil()}, newer / "state.pt")
    _falls_back(kept, "state.pt")
    assert not (tmp_path / "ran").exists()


def test_a_manifest_that_names_files_elsewhere_is_refused(kept: Kept) -> None:
    newer = kept.checkpoints.of(6)
    for name in ("../step-00000003/state.pt", "/etc/passwd", "C:\\x", ""):
        (newer / MANIFEST).write_text(json.dumps({"files": {name: "0" * 64}}))
        assert "is damaged: " in kept.go_on()[0]
        assert kept.loop.step == 3


@pytest.mark.parametrize("name", ["more.bin", "network/more.bin"])
def test_a_file_that_the_manifest_does_not_list_is_damage(kept: Kept, name: str) -> None:
    newer = kept.checkpoints.of(6)
    (newer / ".DS_Store").touch()  # a file browser was there
    assert kept.go_on() == []
    (newer / name).touch()
    assert f"{newer / name} is damaged: {MANIFEST} does not list it" in kept.go_on()[0]


@pytest.mark.parametrize("name", ["state.pt", WEIGHTS])
def test_a_file_that_was_taken_out_of_the_manifest_is_damage(kept: Kept, name: str) -> None:
    newer = kept.checkpoints.of(6)
    listed = json.loads((newer / MANIFEST).read_text())
    del listed["files"][name]
    (newer / MANIFEST).write_text(json.dumps(listed))
    _falls_back(kept, name)


def test_a_manifest_that_is_no_object_is_called_so(kept: Kept) -> None:
    (kept.checkpoints.of(6) / MANIFEST).write_text("[]")
    assert "manifest.json is damaged: it is no JSON object" in kept.go_on()[0]


def test_where_none_is_whole_all_are_named_and_what_to_do(kept: Kept) -> None:
    empty(kept.checkpoints.of(6) / "state.pt")
    missing(kept.checkpoints.of(3) / WEIGHTS)
    with pytest.raises(UserError) as caught:
        kept.go_on()
    first, second = str(caught.value).split("\n  ")
    assert first.startswith(f"{kept.checkpoints.of(6) / 'state.pt'} is damaged: ")
    assert first.endswith("begin a new run in another folder")
    assert second.startswith(f"{kept.checkpoints.of(3) / WEIGHTS} is damaged: ")


def test_names_that_are_no_checkpoints_are_passed_over(kept: Kept) -> None:
    for name in ("step-000000007", "step-٠٠٠٠٠٠٠٩", "step-9", "damaged-step-00000009"):
        (kept.checkpoints.folder / name).mkdir()
    (kept.checkpoints.folder / "step-00000012").write_text("a file")
    assert kept.checkpoints.steps() == [3, 6]


def test_a_run_goes_on_from_the_older_one_to_the_same_end(tmp_path: Path) -> None:
    whole = small_run(tmp_path / "whole", keep=1)
    small_run(tmp_path / "run", stop_after(7), save_every=3)
    zeros(tmp_path / "run/checkpoints/step-00000007/state.pt")
    events: list[Any] = []
    rest = small_run(tmp_path / "run", events.append, resume=True, save_every=2, keep=1)
    assert same_weights(rest.network, whole.network)
    (note,) = notes_in(events)
    assert "step-00000007/state.pt is damaged" in note
    assert "goes on from" in note
    # The damaged one is kept for whoever wants to look, and is no longer the newest.
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["damaged-step-00000007", "step-00000010"]
    again = small_run(tmp_path / "run", resume=True)
    assert same_weights(again.network, whole.network)


def test_a_curve_is_read_as_far_as_it_can_be_and_the_rest_is_named(tmp_path: Path) -> None:
    small_run(tmp_path, stop_after(7), log_every=1)
    curve = tmp_path / "curve.jsonl"
    lines = curve.read_text().splitlines()
    lines[1] = lines[1].replace("loss", "los")
    lines[3] = lines[3][:30]
    lines.insert(5, "\x1b[31m" + "[" * 3000)
    lines.insert(6, '{"step": 6, "figures": {"edge F1": "high"}, "sheet": null}')
    lines.insert(6, '{"step": 6, "figures": null, "sheet": 5}')
    lines.insert(6, '{"step": 1e999, "loss": 1, "rate": 1, "elapsed": 1, "left": 1}')
    curve.write_bytes("\n".join(lines).encode() + b'\n\xff\xfe\n{"step": 8, "lo')
    events: list[Any] = []
    small_run(tmp_path, events.append, resume=True, log_every=1)
    (note,) = notes_in(events)
    assert note == f"{curve}: lines that cannot be read are left out: 2, 4, 6, 7, 8, 9, 12"
    told = [json.loads(line)["step"] for line in curve.read_text().splitlines()]
    assert told == [1, 3, 5, 6, 7, 8, 9, 10]


def test_what_is_not_finite_is_never_kept(tmp_path: Path) -> None:
    """A rate that takes the weights beyond all numbers, in the very last step."""
    wild = {"rate": 1e6, "weight_decay": 10.0, "warmup": 0, "schedule": "constant"}
    with pytest.raises(UserError, match=r"after step 1 holds numbers that are not finite.*lower"):
        small_run(tmp_path, steps=1, network=_huge(), **wild)
    assert not (tmp_path / "checkpoints").exists()


def _huge() -> Any:
    """A network with a weight that one decay of a wild rate takes beyond float32; nothing reads it
    in the first step, since its connection is zero."""
    network = control_net_from(small_unet(), NET, 3)
    with torch.no_grad():
        network.controlnet_mid_block.weight.zero_()
        network.mid_block.resnets[0].conv1.weight.view(-1)[0] = 3e38
    return network


def test_a_network_to_start_from_has_to_be_finite() -> None:
    unet = small_unet()
    network = control_net_from(unet, NET, 3)
    with torch.no_grad():
        network.conv_in.weight.view(-1)[3] = math.nan
    with pytest.raises(UserError, match=r"not finite, in conv_in\.weight; take another"):
        started_from(network, unet)


def test_a_validation_that_a_kill_cut_off_is_made_again(tmp_path: Path) -> None:
    tried: list[int] = []

    def validate(step: int, network: Any) -> Validation:
        tried.append(step)
        return Validation(step, {})

    small_run(tmp_path, validate=validate, steps=4, save_every=2, validate_every=2)
    curve = tmp_path / "curve.jsonl"
    assert curve.read_text().splitlines()[-1].startswith('{"step": 4, "figures"')
    curve.write_text("".join(curve.read_text().splitlines(keepends=True)[:-1]))
    for expected in ([4, 6], []):
        tried.clear()
        small_run(tmp_path, validate=validate, resume=True, steps=6, validate_every=2)
        assert tried == expected
    assert [one.step for one in read_curve(curve)[1]] == [0, 2, 4, 6]
