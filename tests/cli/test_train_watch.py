"""What a person sees of a run on a terminal, and where there is none."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from controlstack.cli.train_watch import WINDOW, TerminalWatch, duration, terminal_watch
from controlstack.training.watch import Point, Validation

POINT = Point(20, 0.125, 1e-5, 12.34, 10.0, 3723.0)


def words(progress: Progress) -> str:
    (task,) = progress.tasks
    found: str = task.fields["words"]
    return found


@pytest.fixture
def progress() -> Progress:
    return Progress(console=Console(file=StringIO(), force_terminal=True, width=120))


def test_the_bar_shows_loss_speed_and_the_last_fidelity(progress: Progress) -> None:
    watch = TerminalWatch(progress)
    watch.begin(10, 30)
    watch.step(11, 0.5)
    watch.step(12, 0.25)
    assert words(progress) == "loss 0.375"
    watch.point(POINT)
    watch.validated(Validation(12, {"edge F1": 0.5, "SSIM": 0.1}, Path("sheet.png")))
    watch.step(13, 0.375)
    assert words(progress) == "loss 0.375, 12.3 images/s, edge F1 0.5"
    (task,) = progress.tasks
    assert (task.completed, task.total) == (13, 30)


def test_the_loss_is_a_moving_mean(progress: Progress) -> None:
    watch = TerminalWatch(progress)
    watch.begin(0, 1000)
    for step in range(WINDOW):
        watch.step(step + 1, 8.0)
    for step in range(WINDOW):
        watch.step(WINDOW + step + 1, 2.0)
    assert words(progress) == "loss 2"


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal_watch() as watch:
        watch.begin(0, 30)
        watch.step(20, 0.5)
        watch.point(POINT)
        watch.validated(Validation(20, {"edge F1": 0.5}, Path("sheet.png")))
        watch.saved(20, Path("out/step-00000020"))
        watch.note("A word")
        watch.note("A word")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "step 20/30: loss 0.125, rate 1e-05, 12.3 images/s, 1:02:03 left",
        "step 20: edge F1 0.5, sheet.png",
        "step 20: saved out/step-00000020",
        "Note: A word.",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
