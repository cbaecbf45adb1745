"""Pictures in rows under labelled columns, on one page. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .page import FAINT, INK, PAPER, font, wrapped

CELL = 256
"""Pixels of a cell's width: a 128 px picture twice as large."""
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
    title: str, subtitle: str, columns: Sequence[str], rows: Sequence[Row], cell: int = CELL
) -> Image.Image:
    """The page as an RGB picture; cells are `cell` pixels wide and of the first picture's shape."""
    first = rows[0].cells[0].picture
    size = cell, max(1, round(cell * first.height / first.width))
    head = MARGIN + TITLE_SIZE + 2 * LINE + LINE // 2
    row_height = size[1] + 2 * LINE + 2 * GAP
    width = 2 * MARGIN + len(columns) * (cell + GAP) - GAP
    height = head + 2 * LINE + len(rows) * row_height + MARGIN // 2
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN // 2), title, INK, font(TITLE_SIZE))
    pen.text((MARGIN, MARGIN // 2 + TITLE_SIZE + LINE // 2), subtitle, FAINT, font(TEXT_SIZE))
    for i, label in enumerate(columns):
        pen.text((_left(i, cell) + cell // 2, head + LINE), label, INK, font(TEXT_SIZE), "mm")
    for i, row in enumerate(rows):
        _draw_row(page, pen, row, head + 2 * LINE + i * row_height, size)
    return page


def _draw_row(
    page: Image.Image, pen: ImageDraw.ImageDraw, row: Row, top: int, size: tuple[int, int]
) -> None:
    for i, cell in enumerate(row.cells):
        left = _left(i, size[0])
        page.paste(cell.picture.resize(size, Image.Resampling.LANCZOS), (left, top))
        middle = (left + size[0] // 2, top + size[1] + LINE // 2 + 2)
        pen.text(middle, cell.note, FAINT, font(SMALL_SIZE), anchor="mm")
    below = (MARGIN, top + size[1] + LINE + LINE // 2)
    for line in wrapped(row.caption, page.width - 2 * MARGIN, SMALL_SIZE, 1):
        pen.text(below, line, INK, font(SMALL_SIZE), anchor="lm")


def _left(column: int, cell: int) -> int:
    return MARGIN + column * (cell + GAP)
