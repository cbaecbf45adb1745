"""The grid of pictures: every picture whole, in its place and shape."""

from __future__ import annotations

import numpy as np
from PIL import Image

from controlstack.ground.contact_sheet import CELL, GAP, MARGIN, Cell, Row, draw_sheet
from controlstack.ground.page import PAPER


def test_every_picture_stands_whole_in_its_place() -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]
    cells = [Cell(Image.new("RGB", (64, 64), colour), "a note") for colour in colours]
    page = draw_sheet(
        "T", "S", ["one", "two"], [Row(tuple(cells[:2]), "A"), Row(tuple(cells[2:]), "B")]
    )
    pixels = np.asarray(page)
    for colour in colours:
        assert (pixels == colour).all(axis=2).sum() == CELL * CELL


def test_a_page_grows_with_its_rows_and_columns() -> None:
    cell = Cell(Image.new("RGB", (8, 8)))
    one = draw_sheet("T", "S", ["a"], [Row((cell,), "")])
    more = draw_sheet("T", "S", ["a", "b"], [Row((cell, cell), "")] * 2)
    assert more.width - one.width == CELL + GAP
    assert more.height - one.height > CELL


def test_cells_have_the_pictures_shape() -> None:
    red = (200, 30, 30)
    page = draw_sheet("T", "S", ["a"], [Row((Cell(Image.new("RGB", (64, 96), red)),), "")], 128)
    down, across = np.nonzero((np.asarray(page) == red).all(axis=2))
    assert (np.ptp(across) + 1, np.ptp(down) + 1) == (128, 192)


def test_a_long_caption_stays_on_the_page() -> None:
    row = Row((Cell(Image.new("RGB", (8, 8))),), "a very long prompt " * 40)
    pixels = np.asarray(draw_sheet("T", "S", ["a"], [row]))
    assert (pixels[:, -MARGIN // 2 :] == PAPER).all()


def test_a_long_subtitle_takes_more_lines_and_a_picture_of_another_shape_stands_whole() -> None:
    blue = (0, 0, 255)
    square, wide = (Cell(Image.new("RGB", size, blue)) for size in ((64, 64), (64, 32)))
    short = draw_sheet("T", "S", ["a"], [Row((square,), "")])
    long = draw_sheet("T", "figure 0.123 " * 12, ["a"], [Row((square,), "")])
    assert long.height > short.height
    row = Row((square, wide), "")
    pixels = np.asarray(draw_sheet("T", "S", ["a", "b"], [row]))
    left, right = np.hsplit((pixels == blue).all(axis=2), 2)
    assert left.sum() == 256 * 256
    assert right.sum() == 256 * 128
