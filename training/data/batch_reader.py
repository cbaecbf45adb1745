"""Reads the rows of a step from the disk: in the calling process or in workers of a DataLoader."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ...ground.errors import UserError
from ...ground.log import log
from ...preprocessors.spec import Hint
from ..base import Texts
from ..batch import Pick
from ..settings import DataSettings
from .cache import digest, moments_of
from .cache_filling import Kept
from .captions import drawn
from .condition import Condition
from .row import Row
from .row_pictures import Picture, hint_in, read_hint, read_picture, seen_of, size_of
from .view import is_mirrored, view_of


@dataclass(frozen=True)
class Part:
    """What was read for one pick; what is None still has to be computed. `sizes` are what SDXL is
    told of the view, empty for other bases.
    """

    pick: Pick
    prompt: str
    picture: Picture | None = None
    hint: Hint | None = None
    moments: tuple[Tensor, Tensor] | None = None
    texts: Texts | None = None
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reader:
    """A map from picks to what they need, as torch's DataLoader asks for it.

    `groups` are the numbers of the rows' buckets, whose rows can share a batch; empty where all
    can. `sizes`: whether the base is told them, as SDXL is. `named` are the rows whose skipping
    this process has told: each comes again and again.
    """

    rows: tuple[Row, ...]
    settings: DataSettings
    condition: Condition
    kept: Kept | None
    groups: tuple[int, ...] = ()
    sizes: bool = False
    named: set[int] = field(default_factory=set, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, picks: Sequence[Pick]) -> list[Part] | UserError:
        """One batch. An error is given back, as a worker that raises adds its trace to it."""
        try:
            return [self._readable(pick) for pick in picks]
        except UserError as error:
            return error

    def _readable(self, pick: Pick) -> Part:
        """The pick's row or, where files broke since the check and bad rows are skipped, the next
        one that can be read.
        """
        for tried in range(len(self.rows)):
            number = (pick.row + tried) % len(self.rows)
            if self.groups and self.groups[number] != self.groups[pick.row]:
                continue
            row = self.rows[number]
            try:
                return self._part(number, row, pick)
            except (UserError, OSError) as error:
                said = error if isinstance(error, UserError) else UserError(str(error))
                if self.settings.bad_rows == "stop":
                    raise said.at(row.where) from error
                if number not in self.named:
                    self.named.add(number)
                    log.warning("%s is skipped: %s", row.where, said)
        raise UserError("No row of the training data can be read any more.")

    def _part(self, number: int, row: Row, pick: Pick) -> Part:
        prompt = "" if pick.drop else drawn(row.captions, pick.seed)
        if self.kept is not None:
            return self._kept_part(self.kept, number, row, pick, prompt)
        seen = seen_of(row, self.settings, self.condition, pick.seed)
        return Part(pick, prompt, *seen, sizes=self._sizes(row, pick))

    def _sizes(self, row: Row, pick: Pick) -> tuple[int, ...]:
        if not self.sizes:
            return ()
        size = size_of(row.picture)
        return view_of(size, self.settings, pick.seed).told(size)

    def _kept_part(self, kept: Kept, number: int, row: Row, pick: Pick, prompt: str) -> Part:
        key = kept.key(number, is_mirrored(self.settings, pick.seed))
        if (hints := kept.hints_of(number)) is not None:
            hint = hints.read(key)
        else:
            size = size_of(row.picture)
            view = view_of(size, self.settings, pick.seed)
            picture = read_picture(row) if self.condition.needs_picture else size
            hint = hint_in(view, read_hint(row, picture, self.condition), size, self.condition)
        found = kept.texts.read(digest(prompt))
        moments = moments_of(kept.pictures_of(number).read(key))
        texts = Texts(found["words"], found.get("pooled"))
        return Part(pick, prompt, None, hint, moments, texts, self._sizes(row, pick))


def begin_worker(number: int) -> None:
    """One thread a worker: OpenCV's own threads do not survive a fork. Ctrl-C, which a terminal
    sends to the workers, too, is the loop's: it ends the step, and needs its pictures for that.
    """
    from ...preprocessors.opencv import opencv

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    opencv().setNumThreads(0)
