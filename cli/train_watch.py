"""A training run on the terminal: a bar with loss, speed and time left; lines where it is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..training.events import Begun, Event, Note, Point, Saved, Stepped, Validation
from ..training.run import Finished
from .say import literal, tell

if TYPE_CHECKING:
    from rich.progress import Progress

WINDOW = 100
"""Steps over which the loss that is shown is averaged: single ones jump."""


def show(events: Iterable[Event | Finished], progress: Progress) -> Finished | None:
    """Show a run on stderr as it goes on; its last event, None in a process that tells nothing.

    `progress` is a bar, hidden where stderr is no terminal; then each point is a line.
    """

    def say(line: str) -> None:
        """A line that stays, above the bar if there is one."""
        if progress.disable:
            tell(line)
        else:
            progress.console.print(literal(line), highlight=False, soft_wrap=True)

    losses: deque[float] = deque(maxlen=WINDOW)
    speed = fidelity = ""
    noted = set()
    for event in events:
        match event:
            case Begun():
                steps = event.steps
                task = progress.add_task("", total=steps, completed=event.step, words="")
            case Stepped():
                losses.append(event.loss)
                words = (f"loss {sum(losses) / len(losses):.4g}", speed, fidelity)
                progress.update(task, completed=event.step, words=", ".join(filter(None, words)))
            case Point():
                speed = f"{event.images_per_second:.3g} images/s"
                if progress.disable:
                    tell(
                        f"step {event.step}/{steps}: loss {event.loss:.4g}, rate {event.rate:.3g}, "
                        f"{speed}, {duration(event.left)} left"
                    )
            case Validation():
                figures = [f"{name} {value:.3g}" for name, value in event.figures.items()]
                fidelity = figures[0] if figures else ""
                say(f"step {event.step}: {', '.join([*figures, str(event.sheet)])}")
            case Saved():
                say(f"step {event.step}: saved {event.folder}")
            case Note() if event.text not in noted:
                noted.add(event.text)
                say(f"Note: {event.text}.")
            case Finished():
                return event
    return None


@contextmanager
def bar_of_steps(wanted: bool = True) -> Iterator[Progress]:
    """A bar for `show` that lasts as long as the block, hidden unless it is `wanted` and stderr is
    a terminal.
    """
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
    hidden = not (wanted and console.is_terminal)
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield progress


def duration(seconds: float) -> str:
    """Seconds as 1:02:03, or 2:03 under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
