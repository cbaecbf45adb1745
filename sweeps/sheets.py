"""The grid of a sweep: two settings a sheet, and a sheet for each value of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from PIL import Image

from ..evaluation.html import number
from ..ground.contact_sheet import Cell, Row, draw_sheet, fitting_cell
from ..ground.page import PAPER
from ..ground.structured import Json
from .record import Record
from .summary import measures

MOST_SHEETS = 24
MOST_SIDE = 16
"""Rows, and columns, of one sheet; more are left out, which is said."""


@dataclass(frozen=True)
class Sheets:
    """Sheets as they are drawn, one after the other, and what is left out of them."""

    pages: tuple[Mapping[str, Json], ...]
    across: str
    down: str
    notes: tuple[str, ...]


def laid_out(values: Mapping[str, Sequence[Json]], repeats: Sequence[str]) -> Sheets:
    """Which of the columns go across and down, and the other columns' values of each sheet.

    `values` are those of each column. Settings come before cases (`repeats`).
    """
    several = [name for name, cells in values.items() if len(cells) > 1]
    several.sort(key=lambda name: name in repeats)
    across, down = [*several, "", ""][:2]
    others = [name for name in values if name not in (across, down)]
    pages = [
        dict(zip(others, cells, strict=True)) for cells in product(*(values[one] for one in others))
    ]
    notes = []
    if len(pages) > MOST_SHEETS:
        notes.append(f"{len(pages) - MOST_SHEETS} of {len(pages)} sheets are left out")
    for name in (across, down):
        if name and len(values[name]) > MOST_SIDE:
            left = len(values[name]) - MOST_SIDE
            notes.append(f"{left} of {len(values[name])} values of {name} are left out of sheets")
    return Sheets(tuple(pages[:MOST_SHEETS]), across, down, tuple(notes))


def draw_sheets(
    records: Sequence[Record],
    values: Mapping[str, Sequence[Json]],
    sheets: Sheets,
    folder: Path,
    title: str,
) -> Iterator[Image.Image]:
    """The sheets, RGB, in their order; `folder` is that of the records' pictures."""
    by_settings = {_key(record.settings): record for record in records}
    found = measures(records)
    across = _shown(values, sheets.across)
    down = _shown(values, sheets.down)
    cell = fitting_cell(len(across))
    for page in sheets.pages:
        rows = []
        for below in down:
            cells = []
            for beside in across:
                settings = {**page, **_set(sheets.across, beside), **_set(sheets.down, below)}
                record = by_settings.get(_key(settings))
                note = ""
                if record is not None and record.error:
                    note = "failed"
                elif record is not None:
                    note = ", ".join(f"{one.figure} {number(one.of(record))}" for one in found[:2])
                cells.append(Cell(_picture(record, folder), note))
            rows.append(Row(tuple(cells), f"{sheets.down} {below}" if sheets.down else ""))
        first = next((c.picture for row in rows for c in row.cells if c.picture.width > 1), None)
        if first is not None:
            rows = [_filled(row, first.size) for row in rows]
        words = ", ".join(f"{name} {value}" for name, value in page.items() if value is not None)
        columns = [str(one) for one in across] if sheets.across else [""]
        said = f"across: {sheets.across}" if sheets.across else ""
        yield draw_sheet(title, "; ".join(filter(None, (said, words))), columns, rows, cell)


def _shown(values: Mapping[str, Sequence[Json]], name: str) -> list[Json]:
    return list(values[name][:MOST_SIDE]) if name else [None]


def _set(name: str, value: Json) -> dict[str, Json]:
    return {name: value} if name else {}


def _key(settings: Mapping[str, Json]) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in settings.items() if value is not None)


def _picture(record: Record | None, folder: Path) -> Image.Image:
    """A row's first picture; one pixel where there is none."""
    if record is None or not record.pictures:
        return Image.new("RGB", (1, 1), PAPER)
    with Image.open(folder / record.pictures[0]) as picture:
        return picture.convert("RGB")


def _filled(row: Row, size: tuple[int, int]) -> Row:
    """Empty places as large as pictures are."""
    return Row(
        tuple(
            Cell(Image.new("RGB", size, PAPER), one.note) if one.picture.width == 1 else one
            for one in row.cells
        ),
        row.caption,
    )
