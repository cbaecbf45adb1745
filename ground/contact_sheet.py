"""Pictures in rows under labelled columns, on one page. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .page import FAINT, INK, PAPER, font, wrapped

CELL = 256
"""Pixels of a cell's width: a 128 px picture twice as large."""
SMALLEST, WIDEST = 64, 2400
"""Pixels of a cell's width at least, and of a row's pictures beside each other at most."""
GAP, MARGIN, LINE = 14, 48, 22
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 44, 20, 16
MOST_LINES = 3
"""Of a subtitle."""


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


def fitting_cell(columns: int) -> int:
    """A cell's width in pixels on a sheet of so many columns: CELL, or less where they are many."""
    return max(SMALLEST, min(CELL, WIDEST // columns))


def draw_sheet(
    title: str, subtitle: str, columns: Sequence[str], rows: Sequence[Row], cell: int = CELL
) -> Image.Image:
    """The page as an RGB picture; cells are `cell` pixels wide and of the first picture's shape, in
    which pictures of other shapes stand whole."""
    first = rows[0].cells[0].picture
    size = cell, max(1, round(cell * first.height / first.width))
    row_height = size[1] + 2 * LINE + 2 * GAP
    width = 2 * MARGIN + len(columns) * (cell + GAP) - GAP
    below = wrapped(subtitle, width - 2 * MARGIN, TEXT_SIZE, MOST_LINES) or [""]
    head = MARGIN + TITLE_SIZE + (1 + len(below)) * LINE + LINE // 2
    height = head + 2 * LINE + len(rows) * row_height + MARGIN // 2
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN // 2), title, INK, font(TITLE_SIZE))
    for number, words in enumerate(below):
        top = MARGIN // 2 + TITLE_SIZE + LINE // 2 + number * LINE
        pen.text((MARGIN, top), words, FAINT, font(TEXT_SIZE))
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
        near = min(size[0] / cell.picture.width, size[1] / cell.picture.height)
        inside = max(1, round(cell.picture.width * near)), max(1, round(cell.picture.height * near))
        place = left + (size[0] - inside[0]) // 2, top + (size[1] - inside[1]) // 2
        page.paste(cell.picture.resize(inside, Image.Resampling.LANCZOS), place)
        middle = (left + size[0] // 2, top + size[1] + LINE // 2 + 2)
        pen.text(middle, cell.note, FAINT, font(SMALL_SIZE), anchor="mm")
    below = (MARGIN, top + size[1] + LINE + LINE // 2)
    for line in wrapped(row.caption, page.width - 2 * MARGIN, SMALL_SIZE, 1):
        pen.text(below, line, INK, font(SMALL_SIZE), anchor="lm")


def _left(column: int, cell: int) -> int:
    return MARGIN + column * (cell + GAP)
