"""Checkpoints and resume: the same run bit for bit, and nothing lost on the way."""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.training.batch import Batch
from controlstack.training.checkpoint import Checkpoints
from controlstack.training.curve import Curve, read_curve
from controlstack.training.events import Point, Stepped, Validation
from controlstack.training.export import load_network
from tests.training.small_runs import Rows, same_weights, small_run, stop_after

ALL = {
    "accumulate": 2,
    "ema": 0.9,
    "schedule": "cosine",
    "prompt_dropout": 0.5,
    "offset_noise": 0.1,
    "min_snr": 5.0,
    "new_rate": 2e-3,
}


@dataclass(frozen=True)
class Ended:
    """A run that was made once for all tests: its folder, and its network."""

    folder: Path
    network: Any

    def copied(self, place: Path) -> Path:
        """The folder once more, to go on in."""
        return Path(shutil.copytree(self.folder, place))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A run that nobody touched."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return Ended(folder, small_run(folder).network)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same run, stopped after the sixth step."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    return Ended(folder, small_run(folder, stop_after(6)).network)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_stopped_and_resumed_is_the_whole_run_bit_for_bit(
    tmp_path: Path, precision: str
) -> None:
    whole_rows, first_rows, rest_rows = Rows(), Rows(), Rows()
    settings = {**ALL, "precision": precision}
    whole = small_run(tmp_path / "whole", rows=whole_rows, **settings)
    first = small_run(tmp_path / "run", stop_after(6), rows=first_rows, **settings)
    assert (first.step, first.stopped) == (6, True)
    assert not same_weights(first.network, whole.network)
    rest = small_run(tmp_path / "run", rows=rest_rows, resume=True, **settings)
    assert (rest.step, rest.stopped) == (10, False)
    assert same_weights(rest.network, whole.network)
    assert first_rows.seen + rest_rows.seen == whole_rows.seen
    states = [
        torch.load(tmp_path / name / "checkpoints/step-00000010/state.pt", weights_only=True)
        for name in ("whole", "run")
    ]
    for one, other in zip(*(state["optimiser"]["state"].values() for state in states), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(states[0]["live"][n], states[1]["live"][n]) for n in states[0]["live"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_who_goes_no_further_through_the_events_loses_no_step(
    tmp_path: Path, whole: Ended, error: type[BaseException]
) -> None:
    def leave(event: Any) -> None:
        if isinstance(event, Stepped) and event.step == 4:  # its point is due, too
            raise error

    with pytest.raises(error):
        small_run(tmp_path / "run", leave)
    assert Checkpoints(tmp_path / "run/checkpoints", 3).steps() == [4]
    rest = small_run(tmp_path / "run", resume=True)
    assert same_weights(rest.network, whole.network)
    assert _told(tmp_path / "run") == _told(whole.folder)


def _told(folder: Path) -> list[tuple[int, float, float]]:
    """The curve of a run without its times."""
    return [(p.step, p.loss, p.rate) for p in read_curve(folder / "curve.jsonl")[0]]


def test_the_curve_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, whole: Ended, stopped: Ended
) -> None:
    folder = stopped.copied(tmp_path / "run")
    small_run(folder, resume=True)
    assert _told(folder) == _told(whole.folder)
    points = read_curve(folder / "curve.jsonl")[0]
    assert [p.step for p in points] == [4, 8, 10]
    assert [p.elapsed for p in points] == sorted(p.elapsed for p in points)
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [4, 8, 10]


def test_the_unlocked_decoder_resumes_too(tmp_path: Path) -> None:
    settings = {"unlock_decoder": True, "ema": 0.9, "steps": 5, "save_every": 3}
    whole = small_run(tmp_path / "whole", **settings)
    small_run(tmp_path / "run", stop_after(4), **settings)
    rest = small_run(tmp_path / "run", resume=True, **settings)
    assert same_weights(rest.network, whole.network)
    assert same_weights(rest.unet, whole.unet)


def test_a_checkpoint_holds_the_network_ready_for_use_and_all_settings(tmp_path: Path) -> None:
    trained = small_run(tmp_path, steps=4, ema=0.9, rate=2e-3)
    last = tmp_path / "checkpoints" / "step-00000004"
    assert same_weights(load_network(last / "network"), trained.network)
    kept = json.loads((last / "settings.json").read_text())
    assert (kept["rate"], kept["data"], kept["pictures a step"]) == (2e-3, "rows", 2)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    small_run(tmp_path, steps=6, save_every=2, keep=2)
    assert Checkpoints(tmp_path / "checkpoints", 2).steps() == [4, 6]


def test_other_settings_are_listed_all_at_once(stopped: Ended) -> None:
    with pytest.raises(UserError) as caught:
        small_run(stopped.folder, resume=True, rate=5e-4, ema=0.5, batch=4)
    said = str(caught.value)
    assert "rate: 0.001 -> 0.0005" in said
    assert "ema: 0.0 -> 0.5" in said
    assert "pictures a step: 2 -> 4" in said
    assert "seed" not in said


def test_what_changes_no_step_may_be_changed(tmp_path: Path) -> None:
    whole = small_run(steps=6, batch=2, schedule="constant")
    small_run(tmp_path, stop_after(2), steps=5, batch=2, schedule="constant")
    free = {"steps": 6, "save_every": 3, "keep": 1, "log_every": 2, "validate_every": 6}
    rest = small_run(
        tmp_path, resume=True, schedule="constant", batch=1, accumulate=2, workers=1, **free
    )
    assert rest.step == 6
    ours, theirs = rest.network.state_dict(), whole.network.state_dict()
    # Two halves of a batch differ from the whole one by rounding.
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def test_the_end_of_a_falling_rate_may_not_be_moved(tmp_path: Path) -> None:
    small_run(tmp_path, stop_after(1), schedule="cosine")
    with pytest.raises(UserError, match=r"steps: 10 -> 12 \(with the schedule cosine each step's"):
        small_run(tmp_path, resume=True, schedule="cosine", steps=12)


def test_there_must_be_a_checkpoint_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume"):
        small_run(tmp_path, resume=True)


def test_an_earlier_run_is_not_written_over(stopped: Ended) -> None:
    with pytest.raises(UserError, match=r"step-00000006.*resume it, or choose another folder"):
        small_run(stopped.folder)


def test_a_run_that_was_finished_is_given_back(tmp_path: Path, whole: Ended) -> None:
    again = small_run(whole.copied(tmp_path / "run"), resume=True)
    assert again.step == 10
    assert same_weights(whole.network, again.network)


def test_the_first_nan_stops_it_and_says_which_step_and_checkpoint(tmp_path: Path) -> None:
    rows = Rows(40, broken=_late_row())
    with pytest.raises(UserError, match=r"nan at step \d+.*step-00000005") as caught:
        small_run(tmp_path, rows=rows, steps=20)
    assert (
        Checkpoints(tmp_path / "checkpoints", 3).newest() == tmp_path / "checkpoints/step-00000005"
    )
    assert "learning rate of 0.001" in str(caught.value)


def test_data_that_breaks_costs_no_step(tmp_path: Path, whole: Ended) -> None:
    class Breaking(Rows):
        def load(self, picks: Any, workers: int = 0) -> Iterator[Batch]:
            for number, batch in enumerate(super().load(picks, workers)):
                if number == 7:
                    raise UserError("row 3: the picture is gone")
                yield batch

    with pytest.raises(UserError, match="row 3"):
        small_run(tmp_path, rows=Breaking())
    assert Checkpoints(tmp_path / "checkpoints", 3).steps() == [5, 7]
    rest = small_run(tmp_path, resume=True)
    assert same_weights(rest.network, whole.network)


def test_a_validation_that_fails_costs_no_step(tmp_path: Path) -> None:
    def validate(step: int, network: Any) -> None:
        if step == 4:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        small_run(tmp_path, validate=validate, validate_every=2, save_every=3)
    assert Checkpoints(tmp_path / "checkpoints", 3).steps() == [3, 4]


def _late_row() -> int:
    """A row that the first five steps do not see and the next five do."""
    rows = Rows(40)
    small_run(rows=rows)
    return rows.seen[13].row


def test_a_full_disk_leaves_the_checkpoints_before_it(
    tmp_path: Path, whole: Ended, stopped: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    from controlstack.training import loop

    real = loop.torch.save

    def full(state: Any, path: Path) -> None:
        if state["step"] == 10:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, path)

    monkeypatch.setattr(loop.torch, "save", full)
    folder = stopped.copied(tmp_path / "run")
    with pytest.raises(UserError, match=r"step 10 .*No space left.*step-00000006 is still whole"):
        small_run(folder, resume=True)
    names = sorted(found.name for found in (folder / "checkpoints").iterdir())
    assert names == ["step-00000005", "step-00000006"]
    monkeypatch.undo()
    rest = small_run(folder, resume=True)
    assert same_weights(rest.network, whole.network)


def test_a_half_written_checkpoint_is_never_the_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 3)
    checkpoints.save(5, lambda folder: (folder / "a").touch())

    def cut(folder: Path) -> None:
        (folder / "a").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(9, cut)
    assert checkpoints.newest() == tmp_path / "step-00000005"
    checkpoints.save(9, lambda folder: (folder / "b").touch())
    names = sorted(found.name for found in (tmp_path / "step-00000009").iterdir())
    assert names == ["b", "manifest.json"]


def test_lines_of_an_abandoned_branch_are_cut_and_a_cut_line_is_passed_over(tmp_path: Path) -> None:
    def validate(step: int, network: Any) -> Validation:
        return Validation(step, {"edge F1": step / 10}, tmp_path / "sheets" / f"{step}.png")

    small_run(tmp_path, validate=validate, log_every=1, validate_every=3, steps=6)
    curve = tmp_path / "curve.jsonl"
    later = curve.read_text().splitlines()[-2].replace('"step": 6', '"step": 7')
    curve.write_text(curve.read_text() + later + "\n" + later[:20])
    small_run(tmp_path, validate=validate, resume=True, log_every=1, validate_every=3, steps=8)
    points, validations = read_curve(curve)
    assert [point.step for point in points] == list(range(1, 9))
    assert [found.step for found in validations] == [0, 3, 6, 8]
    assert validations[1] == Validation(3, {"edge F1": 0.3}, tmp_path / "sheets" / "3.png")


def test_a_figure_that_is_no_number_is_null_in_the_file(tmp_path: Path) -> None:
    curve = Curve(tmp_path, 0)
    curve.add(Validation(3, {"edge F1": math.nan, "SSIM": 0.5}, None))
    curve.close()
    assert json.loads(curve.path.read_text())["figures"] == {"edge F1": None, "SSIM": 0.5}
    (found,) = read_curve(curve.path)[1]
    assert math.isnan(found.figures["edge F1"])
    assert found.figures["SSIM"] == 0.5


def test_a_curve_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    curve = Curve(tmp_path, 0)
    curve.path.unlink()
    curve.path.mkdir()
    with pytest.raises(UserError, match=r"cannot write .*curve\.jsonl: Is a directory"):
        curve.add(Point(1, 0.5, 1e-5, 4.0, 1.0, 2.0))
    curve.close()


def test_where_tensorboard_cannot_write_the_curve_goes_on(tmp_path: Path) -> None:
    class Full:
        def add_scalar(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    curve = Curve(tmp_path, 0)
    curve.close()
    curve._board = Full()
    for step in (1, 2):
        curve.add(Point(step, 0.5, 1e-5, 4.0, 1.0, 2.0))
    assert [point.step for point in read_curve(curve.path)[0]] == [1, 2]
