"""Hints of another size than their picture: refused, or brought to it where the shape is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.preprocessors.sizing import resized
from controlstack.training.batch import Pick
from controlstack.training.data.check import check
from controlstack.training.data.training_data import training_data
from controlstack.training.settings import DataSettings
from tests.training_files import FormulaEncoders, picture, save


def row(folder: Path, hint: np.ndarray, size: tuple[int, int] = (96, 48)) -> Path:
    """One row of the layout captions, its picture `size` wide and high."""
    save(folder / "a.png", picture(0, *size))
    (folder / "a.txt").write_text("words")
    save(folder / "a_hint.png", hint)
    return folder


def hint_of(folder: Path, seed: int = 0, workers: int = 0, **chosen: object) -> np.ndarray:
    """The hint that is trained on, H x W x 3 in 0..255."""
    settings = DataSettings(
        **{"path": str(folder), "resolution": "48", "resize_hints": True, **chosen}
    )
    (batch,) = training_data(settings, FormulaEncoders()).load([[Pick(0, seed, False)]], workers)
    return batch.hints[0].permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("full", [False, True])
def test_they_are_refused_unless_asked_for(tmp_path: Path, full: bool) -> None:
    folder = row(tmp_path, picture(1, 48, 24))
    (bad,) = check(DataSettings(path=str(folder)), full).rows.bad
    assert bad.why == (
        f"the hint {folder}/a_hint.png is 48 x 24 and the picture {folder}/a.png 96 x 48 pixels; "
        "give hints of the pictures' size, or resize_hints = true (--resize-hints) resizes these"
    )
    settings = DataSettings(path=str(folder), resize_hints=True)
    assert len(check(settings, full).rows.good) == 1


@pytest.mark.parametrize(
    ("hint", "fits"),
    [
        ((48, 24), True),
        ((192, 96), True),
        ((48, 25), True),  # to a pixel of the smaller one
        ((48, 26), False),
        ((24, 48), False),
        ((96, 50), False),
        ((1, 2), False),
    ],
)
def test_the_shape_has_to_be_one(tmp_path: Path, hint: tuple[int, int], fits: bool) -> None:
    width, height = hint
    folder = row(tmp_path, np.arange(width * height, dtype=np.uint8).reshape(height, width))
    report = check(DataSettings(path=str(folder), resize_hints=True))
    assert len(report.rows.good) == fits
    if not fits:
        assert report.rows.bad[0].why.endswith("give hints of the pictures' size")


def test_plain_hints_are_averaged_and_drawn_ones_take_the_nearest(tmp_path: Path) -> None:
    small = picture(1, 48, 24)
    folder = row(tmp_path, small)
    middle = slice(24, 72)  # of 96 x 48, 48 x 48 is seen
    plain = hint_of(folder)
    assert np.abs(plain - resized(small, (96, 48))[:, middle]).max() < 1e-3
    drawn = hint_of(folder, condition="canny", hints="given")
    assert np.abs(drawn - small.repeat(2, 0).repeat(2, 1)[:, middle]).max() < 1e-3
    assert set(np.unique(drawn.round())) <= set(np.unique(small))


def test_what_hints_are_made_of_is_resized_as_it_has_to_be(tmp_path: Path) -> None:
    labels = (picture(1, 48, 24)[..., 0] % 150).astype(np.uint8)
    folder = row(tmp_path / "labels", labels)
    whole = row(tmp_path / "whole", labels.repeat(2, 0).repeat(2, 1))
    chosen = {"condition": "seg_labels", "hints": "made"}
    assert np.array_equal(hint_of(folder, **chosen), hint_of(whole, **chosen))
    mask = np.where(picture(2, 48, 24)[..., 0] > 127, 255, 0).astype(np.uint8)
    hint = hint_of(row(tmp_path / "mask", mask), condition="inpaint", hints="made")
    assert (hint.min(), hint.shape) == (-255, (48, 48, 3))
    given = np.dstack([picture(3, 48, 24), 255 - mask])
    hint = hint_of(row(tmp_path / "given", given), condition="inpaint", hints="given")
    assert (hint.min(), hint.shape) == (-255, (48, 48, 3))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("crop", ["center", "random"])
def test_the_same_part_is_seen_of_both(tmp_path: Path, workers: int, crop: str) -> None:
    whole = picture(0, 96, 48)
    folder = row(tmp_path, whole.repeat(2, 0).repeat(2, 1))  # twice as large, and else the same
    chosen = {"flip": 0.5, "crop": crop}
    seen = [hint_of(folder, seed, workers, **chosen) for seed in range(3)]
    save(folder / "a_hint.png", whole)
    plain = [hint_of(folder, seed, **chosen, resize_hints=False) for seed in range(3)]
    assert all(map(np.array_equal, seen, plain))


def test_they_are_resized_beside_kept_pictures(tmp_path: Path) -> None:
    folder = row(tmp_path / "data", picture(1, 48, 24))
    kept = hint_of(folder, cache=str(tmp_path / "cache"))
    assert np.array_equal(kept, hint_of(folder))


def test_a_hint_that_changes_its_shape_later_is_named(tmp_path: Path) -> None:
    folder = row(tmp_path, picture(1, 48, 24))
    settings = DataSettings(path=str(folder), resolution="48", resize_hints=True)
    data = training_data(settings, FormulaEncoders())
    Image.fromarray(picture(1, 48, 48)).save(folder / "a_hint.png")
    with pytest.raises(UserError, match="is 48 x 48 and the picture"):
        list(data.load([[Pick(0, 0, False)]]))
