"""Blur by known values: a Gaussian's own numbers, and sd-webui's call."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from controlstack.preprocessors.blur import BLUR, SIGMA, blur


def noise(height: int = 60, width: int = 90) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("sigma", [0.01, 1.5, SIGMA, 64.0])
def test_it_is_the_annotators(sigma: float) -> None:
    picture = noise()
    assert np.array_equal(blur(picture, sigma), cv2.GaussianBlur(picture, (0, 0), sigma))


@pytest.mark.parametrize("sigma", [0.8, 2.0, SIGMA])
def test_it_is_a_gaussian(sigma: float) -> None:
    """OpenCV's kernel of bytes ends at three sigmas, where a Gaussian has a level or two left."""
    picture = np.zeros((121, 121, 3), np.uint8)
    picture[40:81, 40:81] = (255, 128, 40)
    wanted = gaussian_filter(picture.astype(float), (sigma, sigma, 0), truncate=6)
    assert np.abs(blur(picture, sigma) - wanted).max() < 2.5


def test_the_edge_of_a_step_is_half_way() -> None:
    step = np.zeros((41, 81, 3), np.uint8)
    step[:, 41:] = 200
    step[:, 40] = 100
    row = blur(step)[20, :, 0].astype(int)
    assert row[40] == pytest.approx(100, abs=1)
    # One sigma from it: 200 times the normal distribution's 0.1587 and 0.8413.
    assert row[40 - 9] == pytest.approx(31.7, abs=2)
    assert row[40 + 9] == pytest.approx(168.3, abs=2)


def test_what_is_flat_and_what_is_hardly_blurred_stay() -> None:
    assert (blur(np.full((7, 1, 3), 93, np.uint8), 64) == 93).all()
    assert np.array_equal(blur(noise(), 0.01), noise())
    assert BLUR.settings({}) == {"sigma": 9.0}
