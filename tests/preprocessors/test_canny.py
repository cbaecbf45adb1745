"""Canny: OpenCV's own on the RGB picture, white on black."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.canny import canny


def _red_square_on_equal_grey() -> np.ndarray:
    """A square that differs from its ground in colour only: both have the same luminance, 76."""
    picture = np.full((32, 32, 3), 76, np.uint8)
    picture[8:24, 8:24] = (255, 0, 0)
    return picture


def test_an_edge_is_white_on_black_and_lies_where_the_picture_changes() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, 16:] = 255
    edges = canny(picture)
    assert edges.dtype == np.uint8
    assert edges.shape == (32, 32, 3)
    assert set(np.unique(edges)) == {0, 255}
    columns = np.flatnonzero(edges[:, :, 0].any(axis=0))
    assert set(columns) <= {15, 16}
    assert (edges[:, :, 0] == edges[:, :, 1]).all()
    assert (edges[:, :, 0] == edges[:, :, 2]).all()


def test_colour_alone_makes_an_edge_because_the_picture_stays_rgb() -> None:
    import cv2

    picture = _red_square_on_equal_grey()
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert not cv2.Canny(grey, 100, 200).any(), "the square must be invisible in grey"
    assert canny(picture).any()


def test_the_defaults_are_the_thresholds_of_the_training_data() -> None:
    """A step of 40 has the gradient 160: over 100, not over 200, and touching no stronger edge."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:, 8:] = 40
    assert not canny(picture).any()
    assert canny(picture, 50, 150).any()
    picture[:, 8:] = 60  # 240
    assert canny(picture).any()


@pytest.mark.parametrize(("low", "high"), [(200, 100), (-1, 100), (float("nan"), 100)])
def test_thresholds_the_wrong_way_round_are_refused(low: float, high: float) -> None:
    with pytest.raises(UserError, match="threshold"):
        canny(np.zeros((4, 4, 3), np.uint8), low, high)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_another_kind_of_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(UserError, match="height x width x 3"):
        canny(picture)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_every_size_gives_a_hint_of_that_size(height: int, width: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    flipped = noise[:, ::-1]  # not one block of memory
    for picture in (noise, flipped):
        assert canny(picture).shape == (height, width, 3)
