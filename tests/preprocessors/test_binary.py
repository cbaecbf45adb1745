"""Binary: dark becomes white."""

import numpy as np
import pytest

from controlstack.preprocessors.binary import binary


def _of(*pixels: tuple[int, int, int]) -> np.ndarray:
    return np.array([pixels], np.uint8)


def test_what_is_at_or_below_the_threshold_is_white() -> None:
    hint = binary(_of((0, 0, 0), (100, 100, 100), (101, 101, 101), (255, 255, 255)))
    assert hint[0, :, 0].tolist() == [255, 255, 0, 0]


def test_grey_is_that_of_an_rgb_picture() -> None:
    """0.299, 0.587 and 0.114 of red, green and blue: 76, 150 and 29."""
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert binary(_of(red, green, blue), 50)[0, :, 0].tolist() == [0, 0, 255]
    assert binary(_of(red, green, blue), 100)[0, :, 0].tolist() == [255, 0, 255]


@pytest.mark.parametrize("by_itself", [0, 255])
def test_otsu_parts_dark_from_light_wherever_they_lie(by_itself: int) -> None:
    dim = _of(*[(30, 30, 30)] * 3, *[(60, 60, 60)] * 5)
    bright = dim + np.uint8(150)
    for picture in (dim, bright):
        assert binary(picture, by_itself)[0, :, 0].tolist() == [255] * 3 + [0] * 5
