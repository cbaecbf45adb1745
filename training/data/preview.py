"""The first rows of the data as they are learnt from: picture, hint and caption on one page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from PIL import Image, ImageDraw

from ...ground.errors import UserError
from ...ground.page import INK, PAPER, font, wrapped
from ...preprocessors.ready import HintMaker
from ...preprocessors.sizing import resized
from .check import Report
from .row import Row
from .row_pictures import Picture, seen_of
from .view import picture_size

SIDE, GAP, LINE, LETTER = 256, 8, 18, 13
"""Pixels: a picture's longer side, the space between, a line's height and a letter's."""

LINES = 3
"""How much of a caption is shown."""


def preview(report: Report, count: int = 6, make_hint: HintMaker | None = None) -> Image.Image:
    """A page of the first `count` rows that can be read, an RGB picture.

    Each is cut as at a step of the training, some of them mirrored where that is asked for. Hints
    that a network makes are left empty without it.
    """
    width, height = picture_size(report.settings)
    scale = SIDE / max(width, height)
    cell = max(1, round(width * scale)), max(1, round(height * scale))
    rows = list(islice(_readable(report, make_hint), count))
    tall = cell[1] + LINES * LINE + 2 * GAP
    page = Image.new("RGB", (2 * cell[0] + 3 * GAP, GAP + tall * len(rows)), PAPER)
    pen = ImageDraw.Draw(page)
    for number, (caption, parts) in enumerate(rows):
        top = GAP + number * tall
        for place, part in enumerate(parts):
            if part is not None:
                high, wide = part.shape[:2]
                near = min(cell[0] / wide, cell[1] / high)
                size = max(1, round(wide * near)), max(1, round(high * near))
                shown = Image.fromarray(resized(part, size, drawn=near >= 2))
                page.paste(shown, (GAP + place * (cell[0] + GAP), top))
        for line, text in enumerate(wrapped(caption, page.width - 2 * GAP, LETTER, LINES)):
            pen.text((GAP, top + cell[1] + GAP // 2 + line * LINE), text, INK, font(LETTER))
    return page


def _readable(
    report: Report, make_hint: HintMaker | None
) -> Iterator[tuple[str, list[Picture | None]]]:
    """Captions and pictures of the rows; a row that a quick check took for good may yet be bad."""
    for number, row in enumerate(report.rows.good):
        try:
            parts = _parts(row, number, report, make_hint)
        except UserError:
            continue
        yield row.caption, parts


def _parts(
    row: Row, seed: int, report: Report, make_hint: HintMaker | None
) -> list[Picture | None]:
    seen, hint = seen_of(row, report.settings, report.condition, seed, make_hint)
    if hint is not None and hint.dtype != np.uint8:
        hint = (hint.clip(0, 1) * 255).round()
    return [seen, None if hint is None else hint.astype(np.uint8, copy=False)]
