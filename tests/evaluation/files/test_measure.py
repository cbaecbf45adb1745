"""What `controlstack evaluate` measures: sets, chance, and hints of 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.evaluation.files import measure as evaluate
from controlstack.evaluation.files.extraction import Extractor, Packed, packed, read_hint
from controlstack.evaluation.files.pairing import Group, pair
from controlstack.ground.errors import UserError
from controlstack.preprocessors.ade20k import ADE20K
from controlstack.preprocessors.canny import CANNY
from controlstack.preprocessors.pose.people import Pose
from controlstack.preprocessors.spec import Preprocessor

WALL, SKY = (np.array(ADE20K[place][1], np.uint8) for place in (0, 2))


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def same(picture: np.ndarray) -> np.ndarray:
    return picture


SEGMENTS = Preprocessor("seg_ade20k", "", "", "segmentation", "", (), "", run=same, drawn=True)
"""A perfect network: a picture is its own segmentation."""


def test_the_iou_of_a_set_adds_pixels_up(tmp_path: Path) -> None:
    """Two pictures of 100 pixels; wanted: all wall, and half of it sky. Found: wall everywhere.

    Picture by picture the mean IoU is 1 and (50/100 + 0) / 2; over the set it is that of wall,
    150/200, and of sky, 0/50.
    """
    wall = np.broadcast_to(WALL, (10, 10, 3)).copy()
    half = wall.copy()
    half[5:] = SKY
    pictures = tuple(save(tmp_path / "made" / f"{name}.png", wall) for name in "ab")
    hints = (save(tmp_path / "h" / "a.png", wall), save(tmp_path / "h" / "b.png", half))
    extractor = Extractor(SEGMENTS, {})
    measured = evaluate.measure(["g"], pair([Group("g", pictures)], hints), extractor)
    singles = [entry.figures[0].value for entry in measured.entries]
    assert singles == [1.0, 0.25]
    [whole] = measured.sets["g"]
    assert (whole.value, whole.count) == (pytest.approx(0.375), 2)


def test_chance_is_another_hint_of_the_same_size(tmp_path: Path) -> None:
    """Each picture is its hint; sizes a and b are there twice, c once."""
    sizes = {"a1": 20, "a2": 20, "b1": 30, "b2": 30, "c": 40}
    hints, pictures = [], []
    for number, (name, size) in enumerate(sizes.items()):
        picture = np.full((size, size, 3), 230, np.uint8)
        picture[:, 3 + 4 * (number % 2) : 6 + 4 * (number % 2)] = 0
        pictures.append(save(tmp_path / "made" / f"{name}.png", picture))
        hints.append(save(tmp_path / "made too" / f"{name}.png", picture))
    extractor = Extractor(CANNY, CANNY.settings({}))
    pairing = pair([Group("g", tuple(pictures))], hints)
    measured = evaluate.measure(["g"], pairing, extractor, originals=True)
    assert all(entry.figures[0].value == 1 for entry in measured.entries)
    chance = {entry.row: [f.value for f in entry.shuffled[:1]] for entry in measured.entries}
    assert chance.pop("c") == []
    assert all(value < 1 for [value] in chance.values())


def test_a_hint_of_16_bits_keeps_its_steps(tmp_path: Path) -> None:
    grey = np.arange(300, dtype=np.uint16).reshape(10, 30)
    Image.fromarray(grey).save(tmp_path / "depth.png")
    hint = read_hint(tmp_path / "depth.png").drawn
    assert hint.dtype == np.float32
    assert np.array_equal(np.rint(hint[..., 0] * 65535), grey)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_packed_hints_are_the_same(kind: type[np.generic], tmp_path: Path) -> None:
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(tmp_path / "h.png")
    seen = read_hint(tmp_path / "h.png")
    hint = seen.drawn.astype(kind)
    small: Packed = packed(type(seen)(hint, hint))
    again = small.unpacked()
    assert again.drawn.dtype == kind
    assert np.array_equal(again.drawn, hint)
    assert small.size == (5, 4)


def test_a_pose_hint_needs_its_size(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"people": []}')
    with pytest.raises(UserError, match=r"p\.json does not say the size of its picture"):
        read_hint(tmp_path / "p.json", people=True)
    (tmp_path / "p.json").write_text('{"people": [], "canvas_width": 7, "canvas_height": 5}')
    seen = read_hint(tmp_path / "p.json", people=True)
    assert seen.size == (7, 5)
    assert isinstance(packed(seen).unpacked().condition, Pose)
