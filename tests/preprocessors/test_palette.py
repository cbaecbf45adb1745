"""The colour palette: one colour for each 64 x 64 pixels."""

import cv2
import numpy as np
import pytest

from controlstack.preprocessors.palette import color_palette


def _cells(rows: int, columns: int, side: int = 64) -> np.ndarray:
    colours = np.random.default_rng(4).integers(0, 256, (rows, columns, 3), np.uint8)
    return colours.repeat(side, axis=0).repeat(side, axis=1)


def test_flat_cells_of_64_pixels_stay_as_they_are() -> None:
    picture = _cells(2, 3)
    assert np.array_equal(color_palette(picture), picture)


def test_it_is_opencvs_cubic_down_and_nearest_up_as_in_the_adapters_training() -> None:
    picture = np.random.default_rng(5).integers(0, 256, (128, 256, 3), np.uint8)
    small = cv2.resize(picture, (4, 2), interpolation=cv2.INTER_CUBIC)
    expected = cv2.resize(small, (256, 128), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(color_palette(picture), expected)


@pytest.mark.parametrize(
    ("height", "width", "cells"),
    [(64, 64, 1), (1, 1, 1), (63, 127, 1), (128, 130, 4), (2048, 65, 32), (100, 500, 7)],
)
def test_there_are_as_many_cells_as_whole_64s_and_one_at_least(
    height: int, width: int, cells: int
) -> None:
    picture = np.random.default_rng(6).integers(0, 256, (height, width, 3), np.uint8)
    hint = color_palette(picture)
    assert hint.shape == picture.shape
    assert len(np.unique(hint.reshape(-1, 3), axis=0)) == cells


def test_cells_that_are_no_64_pixels_wide_are_of_one_size_to_a_pixel() -> None:
    picture = np.random.default_rng(7).integers(0, 256, (64, 500, 3), np.uint8)
    row = color_palette(picture)[0].astype(int)
    borders = np.flatnonzero((row[1:] != row[:-1]).any(axis=1)) + 1
    widths = np.diff([0, *borders, 500])
    assert len(widths) == 7
    assert widths.max() - widths.min() <= 1
