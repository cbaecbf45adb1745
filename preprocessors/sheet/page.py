"""The page of all hints: groups of pictures with words under each, and what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ...ground.page import FAINT, INK, PAPER, font, wrapped
from ..picture import Bytes
from ..spec import Hint
from .files import in_bytes

COLUMNS = 5
CELL = 352
"""Pixels of a cell's width."""
TALLEST, FLATTEST = 1.5, 0.5
"""Limits of a cell's height, in widths: pictures of other shapes get bars of paper."""
GAP, MARGIN, LINE = 22, 56, 24
TITLE_SIZE, HEAD_SIZE, TEXT_SIZE, SMALL_SIZE = 46, 26, 20, 16
RULE = (214, 212, 206)
CHECKS = (204, 236)
CHECK = 16
"""Levels and side, in pixels, of the chequers that stand for what a mask took away."""
NOTE_LINES = 2


@dataclass(frozen=True)
class Cell:
    """A picture (H x W x 3, bytes or floats; below 0 is masked), its name, a word at the right
    of it, and a note of at most NOTE_LINES lines."""

    picture: Hint
    name: str
    aside: str
    note: str


@dataclass(frozen=True)
class Group:
    """Cells under one heading."""

    heading: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Missing:
    """A hint that is not on the page, and why."""

    name: str
    why: str


def draw_page(
    title: str, subtitle: str, groups: Sequence[Group], missing: Sequence[Missing]
) -> Image.Image:
    """The page as an RGB picture; groups without cells are left out."""
    shown = [group for group in groups if group.cells]
    height, width = shown[0].cells[0].picture.shape[:2]
    tall = round(CELL * min(max(height / width, FLATTEST), TALLEST))
    across = 2 * MARGIN + COLUMNS * (CELL + GAP) - GAP
    blocks = [_block(group, tall) for group in shown]
    foot = _foot(missing, across - 2 * MARGIN)
    head = MARGIN + TITLE_SIZE + 3 * LINE
    page = Image.new("RGB", (across, head + sum(b.height for b in blocks) + foot.height), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN), title, INK, font(TITLE_SIZE), anchor="lt")
    pen.text((MARGIN, MARGIN + TITLE_SIZE + LINE // 2), subtitle, FAINT, font(TEXT_SIZE))
    top = head
    for block in (*blocks, foot):
        page.paste(block, (MARGIN, top))
        top += block.height
    return page


def _block(group: Group, tall: int) -> Image.Image:
    row_height = tall + 3 * LINE + NOTE_LINES * LINE
    rows = -(-len(group.cells) // COLUMNS)
    block = _heading(group.heading, rows * row_height)
    pen = ImageDraw.Draw(block)
    for i, cell in enumerate(group.cells):
        left = i % COLUMNS * (CELL + GAP)
        top = _HEADING + i // COLUMNS * row_height
        _draw_cell(block, pen, cell, left, top, tall)
    return block


_HEADING = 2 * LINE + HEAD_SIZE
"""Pixels that a heading takes."""


def _heading(text: str, below: int) -> Image.Image:
    """A block with a heading and a rule, and room `below`."""
    block = Image.new("RGB", (COLUMNS * (CELL + GAP) - GAP, _HEADING + below), PAPER)
    pen = ImageDraw.Draw(block)
    pen.text((0, LINE // 2), text, INK, font(HEAD_SIZE), anchor="lt")
    rule = LINE // 2 + HEAD_SIZE + LINE // 2
    pen.line((0, rule, block.width, rule), RULE, 2)
    return block


def _draw_cell(
    block: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, left: int, top: int, tall: int
) -> None:
    picture = Image.fromarray(_visible(cell.picture))
    scale = min(CELL / picture.width, tall / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    place = left, top + (tall - size[1]) // 2
    block.paste(picture, place)
    # A white hint would have no edge on the paper.
    pen.rectangle((*place, place[0] + size[0] - 1, place[1] + size[1] - 1), outline=RULE)
    below = top + tall + LINE
    pen.text((left, below), cell.name, INK, font(TEXT_SIZE), anchor="lm")
    pen.text((left + CELL, below), cell.aside, FAINT, font(SMALL_SIZE), anchor="rm")
    for number, row in enumerate(wrapped(cell.note, CELL, SMALL_SIZE, NOTE_LINES), start=1):
        pen.text((left, below + number * LINE), row, FAINT, font(SMALL_SIZE), anchor="lm")


def _foot(missing: Sequence[Missing], width: int) -> Image.Image:
    """One line for each that is missing, a long one wrapped."""
    if not missing:
        return Image.new("RGB", (width, MARGIN), PAPER)
    indent = round(max(font(SMALL_SIZE).getlength(one.name) for one in missing)) + 2 * GAP
    rows = [(one.name, wrapped(one.why, width - indent, SMALL_SIZE, 3)) for one in missing]
    block = _heading("Not on this page", LINE * sum(len(lines) for _, lines in rows) + MARGIN)
    pen = ImageDraw.Draw(block)
    top = _HEADING
    for name, lines in rows:
        pen.text((0, top), name, INK, font(SMALL_SIZE), anchor="lm")
        for line in lines:
            pen.text((indent, top), line, FAINT, font(SMALL_SIZE), anchor="lm")
            top += LINE
    return block


def _visible(hint: Hint) -> Bytes:
    """The hint in bytes, with chequers where it is masked."""
    pixels, masked = in_bytes(hint)
    if masked.any():
        down, across = np.indices(masked.shape) // CHECK
        pixels[masked] = np.array(CHECKS, np.uint8)[(down + across) % 2][masked][:, None]
    return pixels
