"""What a training run tells of itself, one event after another, to whoever goes through them."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Begun:
    """The run begins after `step` (0, or where it was resumed) and shall reach `steps`."""

    step: int
    steps: int


@dataclass(frozen=True)
class Stepped:
    """A step is done; for a progress bar."""

    step: int
    loss: float


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


GAIN = "gain"
"""The share of the base's loss that the network takes away on pictures that it has not seen: 0 is
nothing, 1 all, below 0 it does harm."""


@dataclass(frozen=True)
class Validation:
    """A validation at one step: its figures by name (such as "edge F1"), and the sheet's file."""

    step: int
    figures: dict[str, float]
    sheet: Path | None = None

    @property
    def gain(self) -> float:
        """Its `GAIN`; nan where that was not measured."""
        return self.figures.get(GAIN, math.nan)


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    folder: Path


@dataclass(frozen=True)
class Note:
    """Something that a person should know; a sentence without its full stop."""

    text: str


Event: TypeAlias = Begun | Stepped | Point | Validation | Saved | Note
Events: TypeAlias = Generator[Event, None, None]
