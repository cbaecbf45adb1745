"""What the controls of a stack did in a sampling run, measured while it ran.

For each control, block and step the energy (sum of squares) of what was added after all factors,
and of the feature that it was added to; the cosine between each two controls; and where in the
picture they acted. Off by default; `recorder.py` measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from .call import Row
from .control import ControlStack
from .residuals import Place
from .schedule import Schedule, Window

Key: TypeAlias = tuple[str, int]
"""A group and the number of a block in it."""

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
SIDES = ("prompt", "negative prompt")
"""The last axis of what is told apart by side; further sides count as the second."""

ATTACHED = "controlstack_record"
"""Under this key the recordings of a MODEL are attached to it; clones share them."""


@dataclass(frozen=True, eq=False)
class Record:
    """One sampling run, or several that went on from one another.

    Args:
        stack: the controls, as they were.
        schedule: the steps that were taken.
        planned: a row a control, a column a step: the strength that was planned.
        places: the blocks that were added to, as each net's residuals come.
        added: (controls, places, steps, sides) energy of what was added.
        features: (places, steps, sides) energy of what it was added to; 0 where nobody told.
        values: (places, steps, sides) how many numbers that are.
        dots: (controls, controls, steps) the sums of products of what two controls added.
        maps: (controls, pictures, h, w) energy over the latent's places, all blocks and steps.
        rows: the rows of batches that the model was called with.
        ran: (controls, steps, sides) for how many rows of batches each net was run.
    """

    stack: ControlStack
    schedule: Schedule
    planned: tuple[tuple[float, ...], ...]
    places: tuple[Place, ...]
    added: Array
    features: Array
    values: Array
    dots: Array
    maps: Array
    rows: frozenset[Row]
    ran: Array

    @property
    def steps(self) -> range:
        """The sampler's numbers of the steps."""
        before = self.schedule.window.before
        return range(before, before + self.schedule.steps)

    @property
    def relative(self) -> bool:
        """Whether the features are known, so that sizes are shares of them."""
        return bool(self.features.any())

    def sizes(self, control: int, side: int | None = None) -> Array:
        """(places, steps) The size of what a control added: as a share of the norm of the feature,
        or where features are not known its root mean square. The middle's feature is taken to be
        the last skip's, which is what the middle begins from."""
        chosen: Any = slice(None) if side is None else [side]
        added = self.added[control][..., chosen].sum(-1)
        whole = (self.features if self.relative else self.values)[..., chosen].sum(-1)
        known = whole > 0.0
        shares: Array = np.sqrt(np.where(known, added / np.where(known, whole, 1.0), 0.0))
        return shares

    def cosine(self, one: int, other: int) -> Array:
        """(steps,) The cosine between what two controls added, over all blocks, rows and places;
        NaN where one of them added nothing."""
        energy = self.added.sum((1, 3))
        whole = np.sqrt(energy[one] * energy[other])
        met = whole > 0.0
        cosines: Array = np.where(met, self.dots[one, other] / np.where(met, whole, 1.0), np.nan)
        return cosines

    def followed_by(self, later: Record) -> Record | None:
        """Both as one; None where `later` is another run: other controls or pictures."""
        shapes = {one.maps.shape for one in (self, later) if one.places}
        if self.stack is not later.stack or len(shapes) > 1:
            return None
        mine, theirs = (self, later) if self.places else (self._like(later), later)
        if not theirs.places:
            theirs = theirs._like(mine)
        if [place.name for place in mine.places] != [place.name for place in theirs.places]:
            return None
        window = self.schedule.window
        total = max(window.total, later.schedule.window.total)
        schedule = replace(
            self.schedule,
            sigmas=(*self.schedule.sigmas, *later.schedule.sigmas[1:]),
            window=Window(window.before, total),
        )
        pairs = zip(self.planned, later.planned, strict=True)

        def joined(what: str, axis: int) -> Array:
            return np.concatenate([getattr(mine, what), getattr(theirs, what)], axis)

        return replace(
            mine,
            schedule=schedule,
            planned=tuple((*before, *after) for before, after in pairs),
            added=joined("added", 2),
            features=joined("features", 1),
            values=joined("values", 1),
            dots=joined("dots", 2),
            maps=mine.maps + theirs.maps,
            rows=self.rows | later.rows,
            ran=joined("ran", 1),
        )

    def _like(self, other: Record) -> Record:
        """This record, in which nothing was added, with the blocks and pictures of another."""
        size = (len(other.places), self.schedule.steps, len(SIDES))
        return replace(
            self,
            places=other.places,
            added=np.zeros((len(self.stack), *size)),
            features=np.zeros(size),
            values=np.zeros(size),
            maps=np.zeros_like(other.maps),
        )


class Recording:
    """Holds the record of a MODEL's last run, and no other.

    `tell` is told each record, and whether it goes on from the one before.
    """

    def __init__(self, tell: Callable[[Record, bool], None] | None = None) -> None:
        self.last: Record | None = None
        self._tell = tell

    def begun(self, sigmas: Sequence[float]) -> Record | None:
        """Let go of the last run; returns it where one of these noise levels goes on from it."""
        last, self.last = self.last, None
        if last is None or not sigmas:
            return None
        end = last.schedule.sigmas[-1]
        return last if end > 0.0 and math.isclose(end, sigmas[0], rel_tol=1e-6) else None

    def keep(self, record: Record, before: Record | None) -> None:
        """The run has ended well; `before` is what `begun` gave."""
        whole = None if before is None else before.followed_by(record)
        self.last = whole or record
        if self._tell is not None:
            self._tell(self.last, whole is not None)


def recordings(model: Any) -> tuple[Recording, ...]:
    """Those of a MODEL: one for each of its stacks that is recorded, in order."""
    found: tuple[Recording, ...] = model.get_attachment(ATTACHED) or ()
    return found


_EVERY: ContextVar[Callable[[Record, bool], None] | None] = ContextVar(
    "controlstack_record_every", default=None
)


@contextmanager
def every_run(tell: Callable[[Record, bool], None]) -> Iterator[None]:
    """Inside the block every stack that is put on a MODEL is recorded; `tell`: see `Recording`."""
    token = _EVERY.set(tell)
    try:
        yield
    finally:
        _EVERY.reset(token)


def recording_of(asked: bool) -> Recording | None:
    """A recording for a stack that is put on a MODEL, where `asked` for or for every one."""
    tell = _EVERY.get()
    return Recording(tell) if asked or tell is not None else None
