"""A look at all of the data before anything is learnt from it: files, sizes, captions."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from ...ground.errors import UserError
from ...ground.progress import Progress, unseen
from ...preprocessors.sizing import Size
from .condition import Condition, condition_of
from .reading import check_size, hint_in, read_hint, read_picture, size_of
from .row import Bad, Row, Rows
from .rows import read_rows
from .settings import DataSettings, picture_size
from .view import view_of

log = logging.getLogger("controlstack")

SHOWN = 10
"""Bad rows and sizes that are listed one by one."""


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
        width, height = picture_size(self.settings)
        rows = self.rows
        if not rows.good:
            return str(complaint(rows))
        lines = [
            f"{rows.place}: {_count(len(rows.good), 'row')} (layout {rows.layout})",
            f"pictures: {_sizes(self.sizes)}; trained at {width} x {height}, "
            f"{'the middle' if self.settings.crop == 'center' else 'a random part'} of each",
            f"hints: {self._hints()}",
            *(f"Note: {warning}." for warning in self.warnings),
        ]
        return "\n".join(lines + ([str(complaint(rows))] if rows.bad else []))

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
) -> Report:
    """Look at every row of the data.

    Each picture and hint is opened and their sizes are compared; `full` decodes them, too, and
    makes those hints that need no network. Raises UserError for data without any row, and for
    settings that are wrong; what is wrong with single rows is in the report.
    """
    picture_size(settings)
    rows = read_rows(settings)
    if not rows.good:
        raise complaint(rows)
    condition = condition_of(settings, any(row.hint is not None for row in rows.good))
    look = partial(_look, settings=settings, condition=condition, full=full)
    good: list[Row] = []
    bad = list(rows.bad)
    sizes: Counter[Size] = Counter()
    what = "decoding the training data" if full else "looking at the training data"
    with (
        progress(len(rows.good), what) as bar,
        ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as threads,
    ):
        for row, seen in zip(rows.good, threads.map(look, rows.good), strict=True):
            if isinstance(seen, Bad):
                bad.append(seen)
            else:
                good.append(row)
                sizes[seen] += 1
            bar.advance()
    found = replace(rows, good=tuple(good), bad=tuple(sorted(bad, key=lambda one: one.place)))
    warnings = _warnings(settings, condition, found, sizes)
    return Report(settings, condition, found, sizes, tuple(warnings))


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
    count = len(rows.good) + len(rows.bad)
    sentence = f"{len(rows.bad)} of {_count(count, 'row')} of {rows.place} cannot be used.{advice}"
    more = [f"and {len(rows.bad) - SHOWN} more"] if len(rows.bad) > SHOWN else []
    return UserError(sentence, [*map(str, rows.bad[:SHOWN]), *more])


def _look(row: Row, settings: DataSettings, condition: Condition, full: bool) -> Size | Bad:
    """The size of the row's picture, or why it cannot be used."""
    try:
        if not full:
            size = size_of(row.picture)
            if row.hint is not None and not condition.from_picture:
                is_pose = row.hint.is_pose or (condition.made and condition.draws_people)
                hint = read_hint(row, None, condition) if is_pose else size_of(row.hint)
                check_size(row, hint, size)
            return size
        picture = read_picture(row)
        size = picture.shape[1], picture.shape[0]
        hint = read_hint(row, picture, condition)
        if not condition.by_network:
            hint_in(view_of(size, settings, seed=0), hint, size, condition)
        return size
    except (UserError, OSError) as error:
        return Bad(row.where, str(error).removesuffix("."))


def _warnings(
    settings: DataSettings,
    condition: Condition,
    rows: Rows,
    sizes: Mapping[Size, int],
) -> list[str]:
    width, height = picture_size(settings)
    small = sum(count for size, count in sizes.items() if size[0] < width or size[1] < height)
    empty = sum(not row.caption.strip() for row in rows.good)
    notes = []
    if small:
        notes.append(
            f"{_count(small, 'picture')} smaller than {width} x {height} will be scaled up"
        )
    if empty:
        notes.append(f"{_count(empty, 'caption')} empty")
    if settings.flip and condition.entry is None:
        notes.append(
            "hints are mirrored as plain pictures; where they show poses or normals, name that "
            "with condition"
        )
    return notes


def _sizes(sizes: Mapping[Size, int]) -> str:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} of {width} x {height}" for (width, height), count in ordered[:SHOWN]]
    more = len(ordered) - SHOWN
    return ", ".join(shown) + (f" and {_count(more, 'other size')}" if more > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
