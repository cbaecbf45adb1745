"""A run and its files: full disks, half results, two runs in one folder, what does nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from controlstack.ground.errors import UserError
from controlstack.ground.lock import LOCK, working_in
from controlstack.training.checkpoint import Checkpoints
from controlstack.training.config import run_settings
from controlstack.training.copy import control_net_from
from controlstack.training.curve import read_curve
from controlstack.training.estimate import require_room
from controlstack.training.idle import idle
from controlstack.training.places import require_places, require_unused
from controlstack.training.run_settings import OutSettings, RunSettings
from controlstack.training.watch import Point
from tests.training.small_runs import NET, Heard, files_run, same_weights, small_unet

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def disk() -> Iterator[None]:
    """What a test does to the limit on files ends with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _limit(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


class Filling(Heard):
    """No file can grow beyond `limit` bytes once `step` was heard of by `method`."""

    def __init__(self, method: str, step: int, limit: int) -> None:
        super().__init__()
        self.when, self.limit = (method, step), limit

    def _fill(self, method: str, step: int) -> None:
        if (method, step) == self.when:
            _limit(self.limit)

    def begin(self, step: int, steps: int) -> None:
        self._fill("begin", step)

    def step(self, step: int, loss: float) -> None:
        self._fill("step", step)

    def point(self, point: Point) -> None:
        self._fill("point", point.step)

    def saved(self, step: int, folder: Path) -> None:
        self._fill("saved", step)


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("method", "step", "limit", "said", "last"),
    [
        (
            "begin",
            0,
            9_000,
            r"The checkpoint of step 2 could not be written to .*There is no",
            None,
        ),
        ("point", 4, 9_000, r"The checkpoint of step 4 .*step-00000002 is still whole", 2),
        ("step", 3, 50, r"cannot write .*curve\.jsonl: File too large", 2),
        ("saved", 5, 9_000, r"cannot be written: .*kept in its last checkpoint: make room, and", 5),
    ],
)
def test_a_full_disk_is_said_in_a_sentence_and_the_last_whole_checkpoint_goes_on(
    tmp_path: Path, method: str, step: int, limit: int, said: str, last: int | None
) -> None:
    whole, _ = files_run(tmp_path / "whole")
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=said) as caught:
        files_run(folder, Filling(method, step, limit))
    assert "\n" not in str(caught.value)
    resource.setrlimit(
        resource.RLIMIT_FSIZE,
        (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]),
    )
    steps = Checkpoints(folder / "checkpoints", 3).steps()
    assert steps[-1:] == ([] if last is None else [last])
    rest, (result,) = files_run(folder, resume=True, out={"single_file": False})
    assert same_weights(rest.network, whole.network)
    assert sorted(path.name for path in result.iterdir()) == ["config.json", WEIGHTS]
    assert [point.step for point in read_curve(folder / "curve.jsonl")[0]] == [1, 2, 3, 4, 5]


def test_a_result_that_halves_cannot_hold_is_written_whole_and_it_is_said(tmp_path: Path) -> None:
    network = control_net_from(small_unet(), NET, 3)
    with torch.no_grad():  # nothing reads what this bias gives, but the file has it
        network.controlnet_mid_block.bias.fill_(7e4)
    heard = Heard()
    trained, (folder,) = files_run(
        tmp_path, heard, network=network, rate=0.0, steps=1, out={"half": True, "name": "net"}
    )
    (note,) = heard.notes
    assert "written in fp32, though half is set: controlnet_mid_block.bias holds" in note
    found = load_file(folder / WEIGHTS)
    assert all(torch.equal(found[n], one) for n, one in trained.network.state_dict().items())


def test_halves_that_hold_it_are_halves(tmp_path: Path) -> None:
    _, (folder,) = files_run(tmp_path, steps=1, out={"half": True})
    assert {one.dtype for one in load_file(folder / WEIGHTS).values()} == {torch.float16}


def test_a_folder_is_one_trainings_alone(tmp_path: Path) -> None:
    class Second(Heard):
        def step(self, step: int, loss: float) -> None:
            for resume in (False, True):
                with pytest.raises(UserError, match=f"another process is training in {tmp_path}"):
                    files_run(tmp_path, resume=resume)
            self.notes.append("tried")

    heard = Second()
    files_run(tmp_path, heard, steps=1)
    assert heard.notes == ["tried"]


def test_what_a_killed_run_leaves_may_be_begun_again_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    require_unused(folder)
    (folder / "tensorboard").mkdir(parents=True)
    (folder / LOCK).touch()
    with pytest.raises(UserError, match="holds something already"):
        require_unused(folder)
    (folder / "curve.jsonl").write_text('{"step": 1, "lo')
    (folder / "config.toml").touch()
    (folder / "checkpoints/.unfinished-step-00000002").mkdir(parents=True)
    require_unused(folder)
    heard = Heard()
    files_run(folder, heard, resume=True, steps=1)
    assert heard.notes == [f"the run in {folder} ended before its first checkpoint; it begins anew"]
    with pytest.raises(UserError, match="go on with the run in it by --resume"):
        require_unused(folder)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ({"name": "n" * 300}, "the result .* cannot be written: File name too long"),
        ({"name": "n" * 250}, r"the result .*\.safetensors cannot be written: File name too long"),
        ({"name": "a\nb"}, "name is 'a.nb'; give a name without folders"),
        ({"name": "Checkpoints"}, "as something else in the run's folder is called"),
        ({"name": LOCK}, "as something else in the run's folder is called"),
        ({"folder": "file/run"}, "file is no folder"),
        ({"folder": "a\0b"}, "cannot be written: embedded null byte"),
        ({"folder": "f" * 300}, "cannot be used: File name too long"),
        ({"folder": "/proc/run"}, "the run's folder /proc/run cannot be written"),
        ({"folder": "taken"}, "curve.jsonl of the run taken/curve.jsonl is a folder; name a file"),
    ],
)
def test_every_place_is_looked_at_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "taken/curve.jsonl").mkdir(parents=True)
    with pytest.raises(UserError, match=said):
        require_places(RunSettings(out=OutSettings(**out)))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["curve.jsonl", "file", "taken"]


def test_the_places_of_a_result_that_is_not_asked_for_do_not_matter(tmp_path: Path) -> None:
    name = "n" * 251  # the folder's name fits, those of the file and of the base do not
    plain = RunSettings(out=OutSettings(str(tmp_path / "run"), name, single_file=False))
    require_places(plain)
    both = replace(plain, training=replace(plain.training, unlock_decoder=True))
    with pytest.raises(UserError, match=r"-unet cannot be written"):
        require_places(both)


@pytest.mark.parametrize("resolution", ["4000000", "8000000x8", "8" * 300, f"8x{'8' * 400}"])
def test_pictures_beyond_the_memory_are_refused_before_anything_is_loaded(resolution: str) -> None:
    settings = run_settings({"data": {"resolution": resolution}, "training": {"batch": 65_536}})
    with pytest.raises(UserError, match=r"a step of .* would take .* GB of memory, and .* free"):
        require_room(settings, on_cpu=False)
    require_room(RunSettings(), on_cpu=True)


def test_settings_without_effect_are_said_once_with_their_reason() -> None:
    settings = run_settings(
        {
            "network": {"start_from": "net", "hint_gain": 2.5, "kind": "gaussian"},
            "validation": {"hints": "mine", "seed": 3},
            "training": {"schedule": "constant", "warmup": 7, "new_rate": 1e-3},
        }
    )
    assert idle(settings) == [
        "with start_from the network stays as it is; without effect: kind = gaussian, "
        "hint_gain = 2.5",
        "validation is off (validate_every = 0); without effect: hints = mine, seed = 3",
        "the schedule constant has no warm-up; without effect: warmup = 7",
    ]
    assert idle(RunSettings()) == []
    lite = run_settings({"network": {"kind": "lite"}, "training": {"rate": 1e-3, "new_rate": 1e-3}})
    (said,) = idle(lite)
    assert said.endswith("; without effect: rate = 0.001")
    seen = run_settings({"training": {"validate_every": 5}, "validation": {"hints": "mine"}})
    assert idle(seen) == []


def test_a_folder_that_is_worked_in_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    settings = RunSettings(out=OutSettings(str(tmp_path / "run")))
    with (
        working_in(tmp_path / "run", "training"),
        pytest.raises(UserError, match="another process is training in"),
    ):
        require_places(settings)
    require_places(settings)
