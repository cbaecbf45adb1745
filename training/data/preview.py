"""The first rows of the data as they are learnt from: picture, hint and caption on one page."""

from __future__ import annotations

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...preprocessors.sizing import resized
from .check import Report
from .reading import HintMaker, hint_in, read_hint, read_picture
from .row import Row
from .settings import picture_size
from .view import view_of

SIDE, GAP, LINE, LETTERS = 256, 8, 18, 70
"""Pixels: a picture's longer side, the space between, a line's height; and letters in a line."""

INK, PAPER = (30, 30, 30), (255, 255, 255)


def preview(report: Report, count: int = 6, make_hint: HintMaker | None = None) -> Image.Image:
    """A page of the first `count` rows that can be used, an RGB picture.

    Each is cut as at a step of the training, some of them mirrored where that is asked for. Hints
    that a network makes are left empty without it.
    """
    width, height = picture_size(report.settings)
    scale = SIDE / max(width, height)
    cell = max(1, round(width * scale)), max(1, round(height * scale))
    rows = [(row, textwrap.wrap(row.caption, LETTERS)[:3]) for row in report.rows.good[:count]]
    tall = cell[1] + 3 * LINE + 2 * GAP
    page = Image.new("RGB", (2 * cell[0] + 3 * GAP, GAP + tall * len(rows)), PAPER)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=13)
    for number, (row, lines) in enumerate(rows):
        top = GAP + number * tall
        for place, part in enumerate(_parts(row, number, report, make_hint)):
            if part is not None:
                shown = Image.fromarray(resized(part, cell, drawn=scale >= 2))
                page.paste(shown, (GAP + place * (cell[0] + GAP), top))
        pen.multiline_text(
            (GAP, top + cell[1] + GAP // 2), "\n".join(lines), INK, font, spacing=LINE - 13
        )
    return page


def _parts(
    row: Row, seed: int, report: Report, make_hint: HintMaker | None
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None]:
    """What is seen of the row's picture and its hint, as bytes."""
    picture = read_picture(row)
    size = picture.shape[1], picture.shape[0]
    view = view_of(size, report.settings, seed)
    seen = view.of(picture)
    if report.condition.by_network and make_hint is None:
        return [seen, None]
    source = read_hint(row, picture, report.condition)
    hint = hint_in(view, source, size, report.condition, make_hint)
    if hint.dtype != np.uint8:
        hint = (hint.clip(0, 1) * 255).round().astype(np.uint8)
    return [seen, hint.astype(np.uint8, copy=False)]
