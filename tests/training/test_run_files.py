"""A run and its files: full disks, half results, two runs in one folder, what does nothing."""

from __future__ import annotations

import math
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from controlstack.ground.errors import UserError
from controlstack.ground.lock import LOCK, working_in
from controlstack.model_files.files import read_contents
from controlstack.training.checkpoint import Checkpoints
from controlstack.training.config import run_settings, written
from controlstack.training.control_net import Trained
from controlstack.training.curve import read_curve
from controlstack.training.events import GAIN, Begun, Point, Saved, Stepped, Validation
from controlstack.training.optimiser import make_schedule
from controlstack.training.run_folder import (
    BEST,
    kept_best,
    require_free,
    require_places,
    require_unused,
    result_places,
)
from controlstack.training.settings import OutSettings, RunSettings, TrainingSettings
from controlstack.training.step_memory import require_room
from controlstack.training.trainable import control_net_from
from controlstack.training.validation import Tried
from controlstack.training.without_effect import idle
from tests.training.small_runs import (
    NET,
    Hear,
    files_run,
    notes_in,
    same_weights,
    small_unet,
    stop_after,
)

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


def _filling(kind: type[Any], step: int, limit: int) -> Hear:
    """No file can grow beyond `limit` bytes once an event of a `kind` was heard of at `step`."""

    def hear(event: Any) -> None:
        if isinstance(event, kind) and event.step == step:
            _limit(limit)

    return hear


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What comes of a run that nobody touched."""
    return files_run(tmp_path_factory.mktemp("whole") / "run")[0]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps, to be copied."""
    folder = tmp_path_factory.mktemp("short") / "run"
    files_run(folder, steps=2)
    return folder


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("when", "limit", "said", "last"),
    [
        ((Begun, 0), 9_000, r"The checkpoint of step 2 could not be .*There is no", None),
        ((Point, 4), 9_000, r"The checkpoint of step 4 .*step-00000002 is still whole", 2),
        ((Stepped, 3), 50, r"cannot write .*curve\.jsonl: File too large", 2),
        ((Saved, 5), 9_000, r"cannot be written: .*kept in its last checkpoint: make room", 5),
    ],
)
def test_a_full_disk_is_said_in_a_sentence_and_the_last_whole_checkpoint_goes_on(
    tmp_path: Path, whole: Trained, when: tuple[type, int], limit: int, said: str, last: int | None
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=said) as caught:
        files_run(folder, _filling(*when, limit))
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
    events: list[Any] = []
    trained, (folder,) = files_run(
        tmp_path,
        events.append,
        network=network,
        rate=0.0,
        steps=1,
        out={"half": True, "name": "net"},
    )
    (note,) = notes_in(events)
    assert "written in fp32, though half is set: controlnet_mid_block.bias holds" in note
    found = load_file(folder / WEIGHTS)
    assert all(torch.equal(found[n], one) for n, one in trained.network.state_dict().items())


def test_halves_that_hold_it_are_halves(tmp_path: Path) -> None:
    _, (folder,) = files_run(tmp_path, steps=1, out={"half": True})
    assert {one.dtype for one in load_file(folder / WEIGHTS).values()} == {torch.float16}


def test_a_folder_is_one_trainings_alone(tmp_path: Path) -> None:
    tried = []

    def second(event: Any) -> None:
        if isinstance(event, Stepped):
            for resume in (False, True):
                with pytest.raises(UserError, match=f"another process is training in {tmp_path}"):
                    files_run(tmp_path, resume=resume)
            tried.append(event.step)

    files_run(tmp_path, second, steps=1)
    assert tried == [1]


def test_what_a_killed_run_leaves_may_be_begun_again_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    require_unused(folder)
    (folder / "tensorboard").mkdir(parents=True)
    (folder / LOCK).touch()
    with pytest.raises(UserError, match="holds something already"):
        require_unused(folder)
    (folder / "curve.jsonl").write_text('{"step": 1, "lo')
    (folder / "config.toml").write_text(written(RunSettings()))
    (folder / "checkpoints/.unfinished-step-00000002").mkdir(parents=True)
    require_unused(folder)
    events: list[Any] = []
    files_run(folder, events.append, resume=True, steps=1)
    assert notes_in(events) == [
        f"the run in {folder} ended before its first checkpoint; it begins anew"
    ]
    with pytest.raises(UserError, match="or resume the run in it"):
        require_unused(folder)


def _state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


def test_a_result_without_its_checkpoints_is_not_begun_over(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    files_run(folder)
    shutil.rmtree(folder / "checkpoints")
    before = _state(folder)
    with pytest.raises(UserError, match=r"no checkpoint left, but a result, or .*: controlnet,"):
        files_run(folder, resume=True)
    with pytest.raises(UserError, match="holds something already"):
        files_run(folder, rate=0.5)
    assert _state(folder) == before
    shutil.rmtree(folder / "controlnet")
    (folder / "controlnet.safetensors").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"one: curve\.jsonl; begin without resume"):
        files_run(folder, resume=True)  # its curve tells that it went further


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "strange",
    [
        {"config.toml": "# mine", "curve.jsonl": ""},
        {"config.toml": "# mine", "curve.jsonl": "mine", "controlnet/config.json": "{}"},
        {"curve.jsonl": "mine"},
        {"curve.jsonl": "mine\n"},
        {"curve.jsonl": "", "curve.png": "mine"},
        {"curve.jsonl": "", "sheets/mine.png": "mine"},
        {"curve.jsonl": "", "checkpoints/mine": "mine"},
        {"curve.jsonl": "", "notes.txt": "mine"},
        {"config.toml": "# mine"},
    ],
)
def test_nothing_of_a_strangers_is_begun_over(
    tmp_path: Path, strange: dict[str, str], resume: bool
) -> None:
    for name, text in strange.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = _state(tmp_path)
    said = r"no checkpoint (left|to resume from)" if resume else "holds something already"
    with pytest.raises(UserError, match=said):
        files_run(tmp_path, resume=resume)
    assert _state(tmp_path) == before


def test_a_killed_run_begins_anew_beside_the_cache_of_its_data(tmp_path: Path) -> None:
    settings = RunSettings(out=OutSettings(str(tmp_path)))
    cached = replace(settings, data=replace(settings.data, cache=str(tmp_path / "cache")))
    (tmp_path / "curve.jsonl").touch()
    (tmp_path / "cache").mkdir()
    for resume in (False, True):
        require_free(cached, resume)
        with pytest.raises(UserError, match=r"(: cache;|something already)"):
            require_free(settings, resume)


def _a_file(place: Path) -> None:
    place.with_suffix(".safetensors").write_text("mine")


def _a_folder(place: Path) -> None:
    place.mkdir()
    (place / "config.json").write_text("{}")


def _weights(place: Path) -> None:
    place.mkdir()
    save_file({"a": torch.zeros(1)}, place / WEIGHTS)


def _a_link(place: Path) -> None:
    (place.parent.parent / "elsewhere").mkdir()
    place.symlink_to(place.parent.parent / "elsewhere")


@pytest.mark.parametrize("make", [_a_file, _a_folder, _weights, _a_link])
@pytest.mark.parametrize("name", ["mine", "controlnet"])
def test_a_resumed_run_replaces_its_own_results_alone(
    tmp_path: Path, short: Path, make: Callable[[Path], None], name: str
) -> None:
    folder = Path(shutil.copytree(short, tmp_path / "run"))
    if name == "controlnet":
        shutil.rmtree(folder / name)
        (folder / f"{name}.safetensors").unlink(missing_ok=True)
    make(folder / name)
    before = _state(tmp_path)
    with pytest.raises(UserError, match=rf"run/{name}.* is there and was not written by a run"):
        files_run(folder, resume=True, out={"name": name})
    assert _state(tmp_path) == before


def test_a_result_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    _, files = files_run(tmp_path, steps=2, out={"single_file": False})
    weights = load_file(files[0] / WEIGHTS)
    assert files_run(tmp_path, resume=True, steps=2, out={"single_file": False})[1] == files
    (files[0] / WEIGHTS).unlink()
    files_run(tmp_path, resume=True, steps=2, out={"single_file": False})
    found = load_file(files[0] / WEIGHTS)
    assert all(torch.equal(found[name], one) for name, one in weights.items())


@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize(
    "name",
    [
        *("curve.jsonl", "config.toml", "curve.png", LOCK, "sheets", "checkpoints", "tensorboard"),
        *("controlnet", "controlnet.safetensors", "controlnet/config.json"),
        *(f"controlnet/{WEIGHTS}", "sheets/step-00000002.png"),
    ],
)
def test_what_is_no_file_is_refused_by_its_name(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place) if kind == "pipe" else place.symlink_to(tmp_path / "nowhere")
    words = "is a pipe; name a [a-z]*, or remove it" if kind == "pipe" else "to nowhere; remove it"
    with pytest.raises(UserError, match=rf"{re.escape(name)} .*{words}"):
        require_places(RunSettings(out=OutSettings(str(tmp_path))))


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


@pytest.mark.parametrize("name", ["x.safetensors", "x.SafeTensors", "x"])
def test_an_ending_is_none_of_a_results_name(tmp_path: Path, name: str) -> None:
    places = result_places(RunSettings(out=OutSettings(str(tmp_path), name)))
    assert [path.name for path in places.values()] == ["x", "x.safetensors"]


def test_the_places_of_a_result_that_is_not_asked_for_do_not_matter(tmp_path: Path) -> None:
    name = "n" * 251  # the folder's name fits, those of the file and of the base do not
    plain = RunSettings(out=OutSettings(str(tmp_path / "run"), name, single_file=False))
    require_places(plain)
    both = replace(plain, training=replace(plain.training, unlock_decoder=True))
    with pytest.raises(UserError, match=r"-unet cannot be written"):
        require_places(both)


@pytest.mark.parametrize("resolution", ["8192", "16384x512"])
def test_pictures_beyond_the_memory_are_refused_before_anything_is_loaded(resolution: str) -> None:
    settings = run_settings({"data": {"resolution": resolution}, "training": {"batch": 65_536}})
    with pytest.raises(UserError, match=r"a step of .* would take .* GB of memory, and .* free"):
        require_room(settings, on_cpu=False)
    require_room(RunSettings(), on_cpu=True)


def test_the_network_of_the_highest_gain_is_kept(tmp_path: Path) -> None:
    gains = {0: math.nan, 1: 0.1, 2: 0.3, 3: 0.3, 4: 0.2, 5: 0.25}
    tried: dict[int, Any] = {}

    def validator(step: int, network: Any) -> Tried:
        tried[step] = {name: value.clone() for name, value in network.state_dict().items()}
        return Tried(Image.new("RGB", (8, 8)), {GAIN: gains[step]})

    events: list[Any] = []
    given: dict[str, Any] = {"validate_every": 1, "save_best": True, "validator": validator}
    files_run(tmp_path, hear=events.append, **given)
    kept = load_file(tmp_path / BEST / WEIGHTS)
    assert kept.keys() == tried[2].keys()
    assert all(torch.equal(kept[name], value) for name, value in tried[2].items())
    assert f"the highest gain, 0.3, was that of step 2; its network is {tmp_path / BEST}" in (
        notes_in(events)
    )


def test_the_best_network_s_own_file_says_of_which_step_it_is(tmp_path: Path) -> None:
    """Not the curve: that knows higher gains of steps at which none was kept."""
    gains = {0: math.nan, 1: 0.9, 2: 0.1, 3: 0.3, 4: 0.2, 5: 0.3}

    def validator(step: int, network: Any) -> Tried:
        return Tried(Image.new("RGB", (8, 8)), {GAIN: gains[step]})

    given: dict[str, Any] = {"validate_every": 1, "validator": validator}
    files_run(tmp_path, stop_after(2), **given)
    assert not (tmp_path / BEST).exists()
    events: list[Any] = []
    files_run(tmp_path, events.append, resume=True, save_best=True, **given)
    assert read_contents(tmp_path / BEST / WEIGHTS).metadata["step"] == "3"
    assert kept_best(tmp_path) == (3, 0.3)
    assert f"the highest gain, 0.3, was that of step 3; its network is {tmp_path / BEST}" in (
        notes_in(events)
    )


def test_a_run_that_begins_anew_keeps_no_best_of_the_one_before(tmp_path: Path) -> None:
    gains = iter([0.9, 0.1])

    def validator(step: int, network: Any) -> Tried:
        return Tried(Image.new("RGB", (8, 8)), {GAIN: next(gains, 0.0)})

    given: dict[str, Any] = {"validate_every": 1, "save_best": True, "validator": validator}
    with suppress(Killed):
        files_run(tmp_path, killed_after_validation, **given)
    assert kept_best(tmp_path) == (0, 0.9)
    files_run(tmp_path, **given)
    assert kept_best(tmp_path) == (0, 0.1)


class Killed(BaseException):
    """Ends a run as a killed process would: nothing is saved any more."""


def killed_after_validation(event: Any) -> None:
    """Ends the run at its first validation."""
    if isinstance(event, Validation):
        raise Killed


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
    unseen = run_settings({"training": {"save_best": True}, "validation": {"rows": 24}})
    assert idle(unseen) == [
        "no gain is measured (validate_every = 0, or hints of your own); without effect: "
        "save_best = True, rows = 24"
    ]


@pytest.mark.parametrize(
    ("schedule", "steps", "warmup", "said"),
    [
        ("cosine", 1, 50, "rate stays 0: nothing is learnt"),
        ("constant_with_warmup", 26, 50, r"\(50 steps\) .* run \(26\): .* beyond 0.5 of what is"),
        ("linear", 50, 50, "beyond 0.98 of what is set"),
        ("linear", 51, 50, None),
        ("constant", 1, 500, None),
    ],
)
def test_a_warm_up_that_the_run_ends_in_is_said(
    schedule: str, steps: int, warmup: int, said: str | None
) -> None:
    chosen = TrainingSettings(schedule=schedule, steps=steps, warmup=warmup, rate=1.0)
    notes = [one for one in idle(RunSettings(training=chosen)) if "without effect" not in one]
    assert len(notes) == (said is not None)
    if said:
        assert re.search(said, notes[0])
    # The highest rate of such a run, as its schedule gives it.
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rates, made = [], make_schedule(optimiser, chosen)
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        made.step()
    assert max(rates) == pytest.approx((steps - 1) / warmup if said else 1.0)


def test_a_folder_that_is_worked_in_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    settings = RunSettings(out=OutSettings(str(tmp_path / "run")))
    with (
        working_in(tmp_path / "run", "training"),
        pytest.raises(UserError, match="another process is training in"),
    ):
        require_places(settings)
    require_places(settings)
