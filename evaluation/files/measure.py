"""Extracts the condition again from every picture, and compares it with the picture's hint."""

from __future__ import annotations

import math
import platform
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias, cast

from ...ground.errors import UserError, several
from ...ground.reporter import reporter
from ...ground.wording import listing
from ...preprocessors.sizing import Fit, Size
from ...preprocessors.spec import Hint, Shows
from ..fidelity import Mean, compare
from ..html import webp
from ..pictures import as_bytes
from ..report import Entry
from ..report_page import Cell, PageRow
from ..segmentation import Counts, labels_of, mean_iou, overlap
from .extraction import Extractor, Packed, Seen, packed, read_hint
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


def measure(
    groups: Sequence[str],
    pairing: Pairing,
    extractor: Extractor,
    originals: bool = False,
    fit: Fit | None = None,
) -> Measured:
    """Compare the condition in each picture of `pairing` with the hint it was made from.

    `groups` are the names of its groups. Hints are hint files, or where they are `originals` the
    pictures that hints were made of, whose condition is then extracted in the same way. Pictures of
    another size than their hint are brought to it by `fit`, and fail without it. Raises UserError
    where nothing could be compared.
    """
    kind = extractor.entry.shows
    failures: list[str] = []
    wanted = _wanted(pairing.rows, extractor, originals, failures)
    others = _others(wanted)
    rows: list[PageRow] = []
    entries: dict[str, list[Entry]] = {group: [] for group in groups}
    overlaps: dict[str, list[Overlap]] = {group: [] for group in groups}
    with reporter().steps(len(pairing.rows), "pictures") as bar:
        for row in pairing.rows:
            if row.hint in wanted:
                hint = wanted[row.hint].unpacked()
                other = wanted[others[row.hint]].unpacked() if row.hint in others else None
                cells: dict[str, Cell] = {}
                for group, path in zip(groups, row.pictures, strict=True):
                    if path is None:
                        continue
                    try:
                        seen = extractor.from_picture(path, hint.size, fit)
                        entries[group].append(_entry(kind, group, row, path, seen, hint, other))
                    except UserError as error:
                        failures.append(str(error))
                        continue
                    cells[group] = Cell(webp(cast(Hint, seen.picture)), webp(seen.drawn))
                    if kind == "segmentation":
                        overlaps[group].append(_overlap(seen, hint))
                if cells:
                    rows.append(PageRow(row.name, webp(hint.drawn), cells))
            bar.advance()
    if not rows:
        raise failed(failures).at("Nothing could be compared")
    sets = {group: _of_set(found) for group, found in overlaps.items() if found}
    every = tuple(entry for found in entries.values() for entry in found)
    return Measured(every, tuple(rows), sets, _notes(pairing), tuple(failures))


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


def _wanted(
    rows: Sequence[Row], extractor: Extractor, originals: bool, failures: list[str]
) -> dict[Path, Packed]:
    """The hint of every row that can be read; a sentence for each other."""
    wanted: dict[Path, Packed] = {}
    paths = dict.fromkeys(row.hint for row in rows)
    with reporter().steps(len(paths), "hints") as bar:
        for path in paths:
            try:
                seen = (
                    extractor.from_picture(path)
                    if originals
                    else read_hint(path, extractor.entry.finds_people)
                )
                wanted[path] = packed(seen)
            except UserError as error:
                failures.append(str(error))
            bar.advance()
    return wanted


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
