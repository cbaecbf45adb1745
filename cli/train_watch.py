"""A training run on the terminal: a bar with loss, speed and time left; lines where it is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..training.watch import Point, Validation
from .say import literal, tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WINDOW = 100
"""Steps over which the loss that is shown is averaged: single ones jump."""


class TerminalWatch:
    """Hears of a run (`training.run.Audience`) and shows it on stderr.

    `progress` is a bar, hidden where stderr is no terminal; then each point is a line.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._speed = self._fidelity = ""
        self._steps = 0
        self._noted: set[str] = set()

    def begin(self, step: int, steps: int) -> None:
        """See `Watch.begin`."""
        self._steps = steps
        self._task = self._progress.add_task("", total=steps, completed=step, words="")

    def step(self, step: int, loss: float) -> None:
        """See `Watch.step`."""
        self._losses.append(loss)
        if self._task is not None:
            self._progress.update(self._task, completed=step, words=self._words())

    def point(self, point: Point) -> None:
        """See `Watch.point`."""
        self._speed = f"{point.images_per_second:.3g} images/s"
        if self._progress.disable:
            tell(
                f"step {point.step}/{self._steps}: loss {point.loss:.4g}, rate {point.rate:.3g}, "
                f"{self._speed}, {duration(point.left)} left"
            )

    def validate(self, step: int, network: Any) -> Validation | None:
        """See `Watch.validate`: made by the run, which tells of it by `validated`."""
        return None

    def validated(self, validation: Validation) -> None:
        """Show the figures and the sheet's name."""
        figures = [f"{name} {value:.3g}" for name, value in validation.figures.items()]
        self._fidelity = figures[0] if figures else ""
        self._say(f"step {validation.step}: {', '.join([*figures, str(validation.sheet)])}")

    def saved(self, step: int, folder: Path) -> None:
        """See `Watch.saved`."""
        self._say(f"step {step}: saved {folder}")

    def note(self, text: str) -> None:
        """Show something that a person should know, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._say(f"Note: {text}.")

    def _say(self, line: str) -> None:
        """A line that stays, above the bar if there is one."""
        if self._progress.disable:
            tell(line)
        else:
            self._progress.console.print(literal(line), highlight=False, soft_wrap=True)

    def _words(self) -> str:
        loss = f"loss {sum(self._losses) / len(self._losses):.4g}"
        return ", ".join(part for part in (loss, self._speed, self._fidelity) if part)


@contextmanager
def terminal_watch(bar: bool = True) -> Iterator[TerminalWatch]:
    """A TerminalWatch whose bar, where one is wanted, lasts as long as the block."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    hidden = not (bar and console.is_terminal)
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield TerminalWatch(progress)


def duration(seconds: float) -> str:
    """Seconds as 1:02:03, or 2:03 under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
