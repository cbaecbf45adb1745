"""The page of all hints: each where it belongs, and why the others are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.ground.page import font, wrapped
from controlstack.preprocessors.registry import EXACT, LEARNED
from controlstack.preprocessors.sheet import page as hint_page
from controlstack.preprocessors.sheet import sheet as hint_sheet
from controlstack.preprocessors.sheet.page import Cell, Group, Missing, draw_page
from tests.tiny_depth import tiny_dpt

RED, GREEN = (220, 20, 20), (20, 200, 20)


def flat(colour: tuple[int, int, int], height: int = 64, width: int = 64) -> Any:
    return np.full((height, width, 3), colour, np.uint8)


def boxes(page: Any, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a colour's pixels."""
    rows, columns = np.nonzero((np.asarray(page) == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_cells_stand_in_rows_under_their_headings() -> None:
    first = [Cell(flat(RED), "a", "", "")] + [Cell(flat((9, 9, 9)), "b", "", "")] * 4
    page = draw_page("T", "s", [Group("one", (*first, Cell(flat(GREEN), "c", "", "")))], [])
    left, top, right, bottom = boxes(page, RED)
    assert left == hint_page.MARGIN + 1  # a thin line around it
    assert right - left == bottom - top == hint_page.CELL - 2
    below = boxes(page, GREEN)
    assert (below[0], below[2]) == (left, right)
    assert below[1] > bottom


@pytest.mark.parametrize(("height", "width"), [(100, 50), (50, 200), (1, 1), (300, 10)])
def test_a_picture_keeps_its_shape(height: int, width: int) -> None:
    page = draw_page("T", "s", [Group("g", (Cell(flat(RED, height, width), "a", "", ""),))], [])
    left, top, right, bottom = boxes(page, RED)
    assert (bottom - top + 2) / (right - left + 2) == pytest.approx(height / width, rel=0.1)


def test_what_is_masked_is_chequered() -> None:
    hint = np.full((64, 64, 3), -1, np.float32)
    page = np.asarray(draw_page("T", "s", [Group("g", (Cell(hint, "a", "", ""),))], []))
    levels = page[hint_page.MARGIN + 200 :][:150, hint_page.MARGIN + 20 :][:, :300]
    for level in hint_page.CHECKS:
        assert (levels == level).all(axis=2).mean() > 0.2


def test_the_foot_has_a_line_for_each_that_is_missing() -> None:
    group = [Group("g", (Cell(flat(RED), "a", "", ""),))]
    heights = [
        draw_page("T", "s", group, [Missing("name", "why")] * count).height for count in (1, 2, 5)
    ]
    assert heights[1] - heights[0] == hint_page.LINE
    assert heights[2] - heights[1] == 3 * hint_page.LINE


def test_words_are_wrapped_and_cut() -> None:
    text = "one two three four five six seven eight nine ten"
    for width in (60, 100, 400):
        rows = wrapped(text, width, 16, 2)
        assert len(rows) <= 2
        assert all(font(16).getlength(row) <= width for row in rows)
    assert wrapped(text, 2000, 16, 2) == [text]
    assert wrapped(text, 100, 16, 2)[-1].endswith(" …")
    assert wrapped("", 100, 16, 2) == []
    assert font(16).getlength(wrapped("w" * 100, 80, 16, 2)[0]) <= 80


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture of 96 x 64 noise in a folder where no weights are."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    path = tmp_path / "scene.png"
    Image.fromarray(noise).resize((96, 64), Image.Resampling.BICUBIC).save(path)
    return path


def test_without_weights_the_exact_ones_are_shown(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "sheet.png"
    missing = {one.name: one.why for one in hint_sheet.make_sheet(scene, out, [tmp_path])[0]}
    exact = {entry.name for entry in EXACT if entry.takes in ("picture", "masked picture")}
    every = {entry.name for entry in (*EXACT, *LEARNED)}
    assert set(missing) == every - exact
    for entry in LEARNED:
        assert entry.learning is not None
        assert f"huggingface.co/{entry.learning.models[0].repo}" in missing[entry.name]
    with Image.open(out) as page:
        assert page.format == "PNG"
        assert page.width == 2 * hint_page.MARGIN + 5 * (hint_page.CELL + hint_page.GAP) - (
            hint_page.GAP
        )


def test_the_second_cell_is_the_picture_s_canny(scene: Path, tmp_path: Path) -> None:
    """Canny, the first preprocessor, stands beside the picture: found there by OpenCV's own."""
    hint_sheet.make_sheet(scene, tmp_path / "sheet.png", [tmp_path])
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    with Image.open(scene) as image:
        shown = cv2.resize(np.asarray(image), (768, 512), interpolation=cv2.INTER_LANCZOS4)
    tall = round(hint_page.CELL * 512 / 768)
    edges = Image.fromarray(cv2.Canny(shown, 100, 200)).resize(
        (hint_page.CELL, tall), Image.Resampling.LANCZOS
    )
    inner = np.asarray(edges)[1:-1, 1:-1].astype(np.int16)
    place = cv2.matchTemplate(
        page[..., 0].astype(np.float32), inner.astype(np.float32), cv2.TM_SQDIFF
    )
    least, _, (left, top), _ = cv2.minMaxLoc(place)
    assert least / inner.size < 4  # squared levels: OpenCV's Lanczos and ours round alike
    assert left == hint_page.MARGIN + hint_page.CELL + hint_page.GAP + 1
    assert (
        np.abs(page[top : top + inner.shape[0], left : left + inner.shape[1], 0] - inner).max() < 40
    )


def test_a_depth_found_is_what_normals_are_made_of(scene: Path, tmp_path: Path) -> None:
    tiny_dpt(tmp_path / "depth" / "mine")
    picture = hint_sheet.read_picture(scene)
    shown, missing = hint_sheet.make_hints(picture, [tmp_path])
    assert shown["depth"].made.hint.shape == (512, 768, 3)
    assert "depth" not in {one.name for one in missing}
    takers = [entry.name for entry in EXACT if entry.takes == "depth"]
    assert set(takers) <= set(shown)


def test_a_page_is_no_folder(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        hint_sheet.make_sheet(scene, tmp_path, [tmp_path])
