"""The contact sheet: its layout, and one row of it made on the embedded host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.demo import contact_sheet
from controlstack.demo.contact_sheet import CELL, Cell, Row, draw_sheet
from controlstack.demo.scenes import SHEET_SEEDS, sample_scene
from controlstack.demo.sheet import COLUMNS, make_sheet
from controlstack.errors import UserError


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
    assert more.width - one.width == CELL + contact_sheet.GAP
    assert more.height - one.height > CELL


def test_the_sheets_scenes_have_a_person_beside_a_solid() -> None:
    for seed in SHEET_SEEDS:
        scene = sample_scene(seed, person=True)
        assert scene.person is not None
        assert len(scene.solids) == 1


def test_one_row_of_the_sheet(tmp_path: Path) -> None:
    out = tmp_path / "new" / "sheet.png"
    results = make_sheet(out, SHEET_SEEDS[:1])
    assert [result.label for result in results] == list(COLUMNS)
    assert all(result.seconds > 0 for result in results)
    assert all(result.score.pictures == 1 for result in results)
    none, pose, depth, both = (result.score for result in results)
    assert both.silhouette_iou > none.silhouette_iou
    assert both.joints >= none.joints
    assert depth.silhouette_iou > none.silhouette_iou
    assert pose.joints >= none.joints
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]
    with Image.open(out) as page:
        assert page.format == "PNG"
        assert page.width > 6 * CELL


def test_a_folder_is_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        make_sheet(tmp_path)
