"""Extracts the condition again from every picture, and compares it with the picture's hint."""

from __future__ import annotations

import math
import platform
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias, cast

from ...ground.cluster import Pool, results_of
from ...ground.errors import UserError, several
from ...ground.reporter import reporter
from ...ground.wording import listing
from ...preprocessors.sizing import Fit, Size
from ...preprocessors.spec import Hint, Shows
from ..fidelity import Mean, asks_nothing, compare
from ..html import webp
from ..pictures import as_bytes
from ..report import Entry
from ..report_page import Cell, PageRow
from ..segmentation import Counts, labels_of, mean_iou, overlap
from .extraction import Extractor, Packed, Seen, extractor_of, packed, read_hint
from .pairing import Pairing, Row

Overlap: TypeAlias = tuple[Counts, Counts]

SEED = 0
"""Of the choice of another picture's hint."""
PACKAGES = ("controlstack", "numpy", "pillow", "opencv-python-headless", "torch")


@dataclass(frozen=True)
class Measured:
    """Every picture's figures, group by group, what a page shows of them, and the figures of whole
    groups (`sets`).

    `notes` and `failures` are for a person: the latter name files that gave nothing, each in a
    sentence.
    """

    entries: tuple[Entry, ...]
    rows: tuple[PageRow, ...]
    sets: Mapping[str, tuple[Mean, ...]]
    notes: tuple[str, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Shared:
    """Processes on Ray that share the work, and the model's name and the folders in which each of
    them finds the preprocessor's network."""

    pool: Pool
    model: tuple[str, Sequence[Path]]


@dataclass(frozen=True)
class Task:
    """A row to be measured, with its hint and that of another picture."""

    number: int
    row: Row
    hint: Packed
    other: Packed | None


@dataclass(frozen=True)
class Compared:
    """What came of a row, by group."""

    entries: Mapping[str, Entry]
    cells: Mapping[str, Cell]
    overlaps: Mapping[str, Overlap]
    drawn: bytes
    failures: tuple[str, ...]


class Measurer:
    """Looks at pictures and compares them with hints, here or in a process on Ray."""

    def __init__(
        self, extractor: Callable[[], Extractor], groups: Sequence[str], fit: Fit | None
    ) -> None:
        self._extractor, self._groups, self._fit = extractor(), groups, fit

    def run(self, item: Path | Task) -> Packed | str | Compared:
        """The condition in a picture, or the sentence that says why it has none; or a row
        measured."""
        if isinstance(item, Task):
            return self._compared(item)
        try:
            return packed(self._extractor.from_picture(item))
        except UserError as error:
            return str(error)

    def _compared(self, task: Task) -> Compared:
        kind, row = self._extractor.entry.shows, task.row
        hint = task.hint.unpacked()
        other = task.other.unpacked() if task.other is not None else None
        entries: dict[str, Entry] = {}
        cells: dict[str, Cell] = {}
        overlaps: dict[str, Overlap] = {}
        failures: list[str] = []
        for group, path in zip(self._groups, row.pictures, strict=True):
            if path is None:
                continue
            try:
                seen = self._extractor.from_picture(path, hint.size, self._fit)
                entries[group] = _entry(kind, group, row, path, seen, hint, other)
            except UserError as error:
                failures.append(str(error))
                continue
            cells[group] = Cell(webp(cast(Hint, seen.picture)), webp(seen.drawn))
            if kind == "segmentation":
                overlaps[group] = _overlap(seen, hint)
        drawn = webp(hint.drawn) if cells else b""
        return Compared(entries, cells, overlaps, drawn, tuple(failures))


def measure(
    groups: Sequence[str],
    pairing: Pairing,
    extractor: Extractor,
    originals: bool = False,
    fit: Fit | None = None,
    shared: Shared | None = None,
) -> Measured:
    """Compare the condition in each picture of `pairing` with the hint it was made from.

    `groups` are the names of its groups. Hints are hint files, or where they are `originals` the
    pictures that hints were made of, whose condition is then extracted in the same way. Pictures of
    another size than their hint are brought to it by `fit`, and fail without it. The work is done
    here, or `shared`, and the result is the same. Raises UserError where nothing could be compared.
    """
    pool = shared.pool if shared else None
    remade: Callable[[], Extractor] = (
        partial(
            extractor_of, extractor.entry, extractor.settings, extractor.resolution, *shared.model
        )
        if shared
        else lambda: extractor
    )
    asked = (remade, tuple(groups), fit)
    failures: list[str] = []
    paths = list(dict.fromkeys(row.hint for row in pairing.rows))
    if originals:
        wanted = _looked_at(paths, asked, pool, failures)
    else:
        wanted = _read(paths, extractor.entry.finds_people, failures)
    empty = _empty(extractor.entry.shows, wanted)
    others = _others({path: one for path, one in wanted.items() if path not in empty})
    tasks = (
        Task(
            number, row, wanted[row.hint], wanted[others[row.hint]] if row.hint in others else None
        )
        for number, row in enumerate(pairing.rows)
        if row.hint in wanted
    )
    found: dict[int, Compared] = {}
    with (
        reporter().steps(sum(row.hint in wanted for row in pairing.rows), "pictures") as bar,
        closing(results_of(Measurer, asked, tasks, pool)) as results,
    ):
        for result in results:
            task: Task = result.item
            died = Compared({}, {}, {}, b"", (f"{task.row.hint}: {result.died}",))
            found[task.number] = died if result.died else result.value
            bar.advance()
    compared = [found[number] for number in sorted(found)]
    rows = [
        PageRow(pairing.rows[number].name, found[number].drawn, found[number].cells)
        for number in sorted(found)
        if found[number].cells
    ]
    failures += [words for one in compared for words in one.failures]
    if not rows:
        raise failed(failures).at("Nothing could be compared")
    every = tuple(
        one.entries[group] for group in groups for one in compared if group in one.entries
    )
    overlaps = {g: [one.overlaps[g] for one in compared if g in one.overlaps] for g in groups}
    sets = {group: _of_set(seen) for group, seen in overlaps.items() if seen}
    notes = (*_notes(pairing), *_told(empty, len(wanted)))
    return Measured(every, tuple(rows), sets, notes, tuple(failures))


def failed(failures: Sequence[str]) -> UserError:
    """One failure as it is; several on a line each."""
    return several(f"{len(failures)} files failed:", failures, 10)


def versions() -> dict[str, str]:
    """What the figures were computed with."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _read(paths: Sequence[Path], people: bool, failures: list[str]) -> dict[Path, Packed]:
    """Every hint file that can be read; a sentence for each other."""
    wanted: dict[Path, Packed] = {}
    with reporter().steps(len(paths), "hints") as bar:
        for path in paths:
            try:
                wanted[path] = packed(read_hint(path, people))
            except UserError as error:
                failures.append(str(error))
            bar.advance()
    return wanted


def _looked_at(
    paths: Sequence[Path], asked: tuple[Any, ...], pool: Pool | None, failures: list[str]
) -> dict[Path, Packed]:
    """The condition in every original that has one; a sentence for each other."""
    found: dict[Path, Packed | str] = {}
    with (
        reporter().steps(len(paths), "hints") as bar,
        closing(results_of(Measurer, asked, paths, pool)) as results,
    ):
        for result in results:
            found[result.item] = f"{result.item}: {result.died}" if result.died else result.value
            bar.advance()
    in_order = [(path, found[path]) for path in paths]
    failures += [one for _, one in in_order if isinstance(one, str)]
    return {path: one for path, one in in_order if not isinstance(one, str)}


def _empty(kind: Shows, wanted: Mapping[Path, Packed]) -> list[Path]:
    """The hints that ask for nothing."""
    return [path for path, one in wanted.items() if asks_nothing(kind, one.unpacked().condition)]


def _told(empty: Sequence[Path], count: int) -> tuple[str, ...]:
    if not empty:
        return ()
    names = listing((path.name for path in empty), 5)
    return (
        f"{len(empty)} of {count} hints ask for nothing, and their pictures count in no mean: "
        f"{names}",
    )


def _others(wanted: Mapping[Path, Packed]) -> dict[Path, Path]:
    """For each hint another of the same size, drawn once and for all; none where it is the only
    one."""
    by_size: dict[Size, list[Path]] = defaultdict(list)
    for path, hint in wanted.items():
        by_size[hint.size].append(path)
    draw = random.Random(SEED)
    found: dict[Path, Path] = {}
    for paths in by_size.values():
        for at, path in enumerate(paths):
            if len(paths) > 1:
                found[path] = paths[(at + draw.randrange(1, len(paths))) % len(paths)]
    return found


def _entry(
    kind: Shows, group: str, row: Row, path: Path, seen: Seen, hint: Seen, other: Seen | None
) -> Entry:
    own = compare(kind, seen.condition, hint.condition)
    chance = compare(kind, seen.condition, other.condition) if other is not None else ()
    return Entry(group, row.name, str(row.hint), str(path), own, chance)


def _overlap(found: Seen, wanted: Seen) -> Overlap:
    return overlap(*(labels_of(as_bytes(seen.drawn)) for seen in (found, wanted)))


def _of_set(overlaps: Sequence[Overlap]) -> tuple[Mean, ...]:
    """As benchmarks of segmentation have it: pixels are added up over the set before classes are
    averaged. The mean over pictures is among their own figures; the paper's Table 2 does not say
    which of the two it has."""
    return (Mean("mean IoU of the set", mean_iou(overlaps), math.nan, len(overlaps), True),)


def _notes(pairing: Pairing) -> tuple[str, ...]:
    notes = []
    if pairing.lone_pictures:
        names = listing((path.name for path in pairing.lone_pictures), 5)
        notes.append(f"no hint for {len(pairing.lone_pictures)} pictures, left out: {names}")
    if pairing.lone_hints:
        names = listing((path.name for path in pairing.lone_hints), 5)
        notes.append(f"no picture for {len(pairing.lone_hints)} hints: {names}")
    missing = sum(picture is None for row in pairing.rows for picture in row.pictures)
    if missing:
        notes.append(f"{missing} places are empty, since groups have different pictures")
    return tuple(notes)
