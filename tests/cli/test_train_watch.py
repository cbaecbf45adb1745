"""What a person sees of a run on a terminal, and where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from controlstack.cli.train_watch import WINDOW, bar_of_steps, duration, show
from controlstack.training.events import Begun, Event, Note, Point, Saved, Stepped, Validation

POINT = Point(20, 0.125, 1e-5, 12.34, 10.0, 3723.0)


def words(progress: Progress) -> str:
    (task,) = progress.tasks
    found: str = task.fields["words"]
    return found


@pytest.fixture
def progress() -> Progress:
    return Progress(console=Console(file=StringIO(), force_terminal=True, width=120))


def test_the_bar_shows_loss_speed_and_the_last_fidelity(progress: Progress) -> None:
    def events() -> Iterator[Event]:
        yield from (Begun(10, 30), Stepped(11, 0.5), Stepped(12, 0.25))
        assert words(progress) == "loss 0.375"
        yield POINT
        yield Validation(12, {"edge F1": 0.5, "SSIM": 0.1}, Path("sheet.png"))
        yield Stepped(13, 0.375)

    show(events(), progress)
    assert words(progress) == "loss 0.375, 12.3 images/s, edge F1 0.5"
    (task,) = progress.tasks
    assert (task.completed, task.total) == (13, 30)


def test_the_loss_is_a_moving_mean(progress: Progress) -> None:
    losses = [8.0] * WINDOW + [2.0] * WINDOW
    steps = [Stepped(step, loss) for step, loss in enumerate(losses, 1)]
    show([Begun(0, 1000), *steps], progress)
    assert words(progress) == "loss 2"


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    events = (
        *(Begun(0, 30), Stepped(20, 0.5), POINT),
        Validation(20, {"edge F1": 0.5}, Path("sheet.png")),
        *(Saved(20, Path("out/step-00000020")), Note("A word"), Note("A word")),
    )
    with bar_of_steps() as bar:
        assert show(events, bar) is None
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
