"""A look at all of the data before anything is learnt from it: files, sizes, captions."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from ...ground.errors import UserError
from ...ground.log import log
from ...ground.progress import Progress, Steps, unseen
from ...ground.wording import one_line
from ...preprocessors.sizing import Size
from ..settings import DataSettings
from .captions import Room, long_captions
from .condition import Condition, condition_of
from .notes import count, notes_of
from .row import Bad, Row, Rows
from .row_look import Job, Seen, look
from .rows import read_rows
from .view import picture_size, seen_size

SHOWN = 10
"""Bad rows and sizes that are listed one by one."""

SAMPLED = 32
"""About so many given hints, spread over all rows, are decoded where not every one is."""


@dataclass(frozen=True)
class Report:
    """What was found: the rows that can be used, those that cannot, how many pictures there are of
    each size, and what a person should know.
    """

    settings: DataSettings
    condition: Condition
    rows: Rows
    sizes: Mapping[Size, int]
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The report in lines for a person."""
        rows = self.rows
        if not rows.good:
            return str(complaint(rows))
        lines = [
            f"{rows.place}: {count(len(rows.good), 'row')} (layout {rows.layout})",
            f"pictures: {_sizes(self.sizes)}; trained {self._seen()}, "
            f"{'the middle' if self.settings.crop == 'center' else 'a random part'} of each",
            f"hints: {self._hints()}",
            *(f"Note: {warning}." for warning in self.warnings),
        ]
        bad = [str(complaint(rows))] if rows.bad else []
        return "\n".join([*map(one_line, lines), *bad])

    def _seen(self) -> str:
        width, height = picture_size(self.settings)
        if not self.settings.buckets:
            return f"at {width} x {height}"
        buckets: Counter[Size] = Counter()
        for size, number in self.sizes.items():
            buckets[seen_size(size, self.settings)] += number
        return f"in {count(len(buckets), 'bucket')}: {_sizes(buckets)}"

    def _hints(self) -> str:
        entry = self.condition.entry
        if entry is None:
            return "given, taken for plain pictures (no condition is named)"
        if self.condition.from_picture:
            return f"made of the pictures by {entry.name}"
        made = f"made by {entry.name} of the files of {entry.takes}"
        return made if self.condition.made else f"given, {entry.name}"


def check(
    settings: DataSettings,
    full: bool = True,
    progress: Progress = unseen,
    room: Room | None = None,
) -> Report:
    """Look at every row of the data.

    Each picture and hint is opened and their sizes are compared, and SAMPLED given hints are
    decoded; `full` decodes all, and makes those hints that need no network. `room` is what a text
    encoder has for captions, if that is known. Raises UserError for data without any row, and for
    settings that are wrong; what is wrong with single rows is in the report.
    """
    picture_size(settings)
    rows = read_rows(settings, progress)
    if not rows.good:
        raise complaint(rows)
    condition = _condition(settings, rows)
    see = partial(look, settings=settings, condition=condition, full=full)
    every = max(1, len(rows.good) // SAMPLED)
    jobs = [(row, number % every == 0) for number, row in enumerate(rows.good)]
    what = "decoding the training data" if full else "looking at the training data"
    with progress(len(jobs), what) as bar:
        every_seen = _seen(see, jobs, bar)
    bad = [*rows.bad, *(one for one in every_seen if isinstance(one, Bad))]
    good = [row for row, one in zip(rows.good, every_seen, strict=True) if isinstance(one, Seen)]
    seen = [one for one in every_seen if isinstance(one, Seen)]
    found = replace(rows, good=tuple(good), bad=tuple(sorted(bad, key=lambda one: one.place)))
    notes = notes_of(settings, condition, found, seen)
    if room is not None:
        notes += long_captions([row.captions for row in good], room)
    return Report(settings, condition, found, Counter(one.size for one in seen), tuple(notes))


def _seen(see: Callable[[Job], Seen | Bad], jobs: Sequence[Job], bar: Steps) -> list[Seen | Bad]:
    """What `see` says of all jobs, in their order; threads share them."""
    found = []
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as threads,
    ):
        # Pillow warns of what is odd and readable; threads cannot each keep that to themselves.
        warnings.filterwarnings("ignore", module="PIL")
        for one in threads.map(see, jobs):
            found.append(one)
            bar.advance()
    return found


def _condition(settings: DataSettings, rows: Rows) -> Condition:
    try:
        return condition_of(settings, any(row.hint is not None for row in rows.good))
    except UserError as error:
        if settings.hint_folder and rows.layout != "captions":
            unread = f"hint_folder is not read with the layout {rows.layout}, but with captions"
            raise UserError(error.sentence, [unread]) from None
        raise


def usable(report: Report) -> tuple[Row, ...]:
    """The rows to learn from; those that are skipped are named in the log. Raises UserError where
    there is none, and for bad rows unless they are skipped.
    """
    refuse_bad_rows(report)
    rows = report.rows
    if rows.bad:
        log.warning("%s", complaint(rows, " They are skipped."))
    return rows.good


def refuse_bad_rows(report: Report) -> None:
    """Raise UserError where no row can be used, and for bad rows unless they are skipped."""
    rows = report.rows
    if not rows.good or (rows.bad and report.settings.bad_rows == "stop"):
        advice = " bad_rows = skip goes on without them." if rows.good else ""
        raise complaint(rows, advice)


def complaint(rows: Rows, advice: str = "") -> UserError:
    """The bad rows in words: how many, `advice`, and a line for each of the first."""
    total = count(len(rows.good) + len(rows.bad), "row")
    sentence = f"{len(rows.bad)} of {total} of {rows.place} cannot be used.{advice}"
    more = [f"and {len(rows.bad) - SHOWN} more"] if len(rows.bad) > SHOWN else []
    return UserError(sentence, [*map(str, rows.bad[:SHOWN]), *more])


def _sizes(sizes: Mapping[Size, int]) -> str:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} of {width} x {height}" for (width, height), count in ordered[:SHOWN]]
    more = len(ordered) - SHOWN
    return ", ".join(shown) + (f" and {count(more, 'other size')}" if more > 0 else "")
