"""Pictures in rows under labelled columns, on one page. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ..headless.page import FAINT, INK, PAPER, font

CELL = 256
"""Pixels of a side of a cell: a 128 px picture twice as large."""
GAP, MARGIN, LINE = 14, 48, 22
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 44, 20, 16


@dataclass(frozen=True)
class Cell:
    """One picture (RGB, any size) with at most one line under it."""

    picture: Image.Image
    note: str = ""


@dataclass(frozen=True)
class Row:
    """As many cells as there are columns, with one line under them all."""

    cells: tuple[Cell, ...]
    caption: str


def draw_sheet(
    title: str, subtitle: str, columns: Sequence[str], rows: Sequence[Row]
) -> Image.Image:
    """The page as an RGB picture."""
    head = MARGIN + TITLE_SIZE + 2 * LINE + LINE // 2
    row_height = CELL + 2 * LINE + 2 * GAP
    width = 2 * MARGIN + len(columns) * (CELL + GAP) - GAP
    height = head + 2 * LINE + len(rows) * row_height + MARGIN // 2
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN // 2), title, INK, font(TITLE_SIZE))
    pen.text((MARGIN, MARGIN // 2 + TITLE_SIZE + LINE // 2), subtitle, FAINT, font(TEXT_SIZE))
    for i, label in enumerate(columns):
        pen.text((_left(i) + CELL // 2, head + LINE), label, INK, font(TEXT_SIZE), anchor="mm")
    for i, row in enumerate(rows):
        _draw_row(page, pen, row, head + 2 * LINE + i * row_height)
    return page


def _draw_row(page: Image.Image, pen: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    for i, cell in enumerate(row.cells):
        page.paste(cell.picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (_left(i), top))
        middle = (_left(i) + CELL // 2, top + CELL + LINE // 2 + 2)
        pen.text(middle, cell.note, FAINT, font(SMALL_SIZE), anchor="mm")
    below = (MARGIN, top + CELL + LINE + LINE // 2)
    pen.text(below, row.caption, INK, font(SMALL_SIZE), anchor="lm")


def _left(column: int) -> int:
    return MARGIN + column * (CELL + GAP)
