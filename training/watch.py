"""What a training run tells whoever watches it: a terminal, a node, a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Point:
    """One point of the training curve: the mean loss since the last one, the learning rate now,
    pictures a second, seconds gone and left.
    """

    step: int
    loss: float
    rate: float
    images_per_second: float
    elapsed: float
    left: float


@dataclass(frozen=True)
class Validation:
    """A validation at one step: its figures by name (such as "edge F1"), and the sheet's file."""

    step: int
    figures: dict[str, float]
    sheet: Path | None = None


class Watch(Protocol):
    """Hears of a run, in process 0 alone. Any method may raise KeyboardInterrupt to stop the run,
    which then saves and ends as after Ctrl-C.
    """

    def begin(self, step: int, steps: int) -> None:
        """The run begins after `step` (0, or where it was resumed) and shall reach `steps`."""
        ...

    def step(self, step: int, loss: float) -> None:
        """A step is done; for a progress bar."""
        ...

    def point(self, point: Point) -> None:
        """The curve has a new point."""
        ...

    def validate(self, step: int, network: Any) -> Validation | None:
        """Try the network, which holds the weights that would be kept, at `step`."""
        ...

    def saved(self, step: int, folder: Path) -> None:
        """A checkpoint was written."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know; a sentence without its full stop."""
        ...


class Quiet:
    """A Watch that says nothing and keeps the curve and the notes."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.notes: list[str] = []

    def begin(self, step: int, steps: int) -> None:
        """See `Watch.begin`."""

    def step(self, step: int, loss: float) -> None:
        """See `Watch.step`."""

    def point(self, point: Point) -> None:
        """See `Watch.point`."""
        self.points.append(point)

    def validate(self, step: int, network: Any) -> Validation | None:
        """See `Watch.validate`."""
        return None

    def saved(self, step: int, folder: Path) -> None:
        """See `Watch.saved`."""

    def note(self, text: str) -> None:
        """See `Watch.note`."""
        self.notes.append(text)
