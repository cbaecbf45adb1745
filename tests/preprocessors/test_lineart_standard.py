"""Standard line art: soft white lines where a picture is darker than its surroundings."""

import warnings
from typing import Any

import cv2
import numpy as np
import pytest

from controlstack.preprocessors.lineart_standard import lineart_standard


@pytest.fixture(scope="module")
def reference() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux import LineartStandardDetector
    return LineartStandardDetector()


@pytest.mark.parametrize(("sigma", "threshold"), [(6.0, 8), (2.0, 8), (6.0, 0), (20.0, 16)])
def test_every_pixel_is_that_of_controlnet_aux(
    reference: Any, sigma: float, threshold: int
) -> None:
    """At a size that controlnet-aux does not resize: its shorter side a multiple of 64."""
    noise = np.random.default_rng(3).integers(0, 256, (128, 192, 3), np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 1)
    expected = reference(picture, sigma, threshold, detect_resolution=128, output_type="np")
    assert np.array_equal(lineart_standard(picture, sigma, threshold), expected)


def test_a_dark_line_is_white_at_its_place_and_a_light_one_is_none() -> None:
    dark = np.full((60, 60, 3), 200, np.uint8)
    dark[:, 20] = 40
    hint = lineart_standard(dark)
    assert np.flatnonzero(hint[30, :, 0] > 100).tolist() == [20]
    light = 255 - dark
    assert lineart_standard(light)[30, 20, 0] == 0


def test_the_median_line_is_grey_127() -> None:
    picture = np.full((60, 60, 3), 200, np.uint8)
    picture[:, 20] = 40
    picture[:, 21] = 40  # lines of one strength, so that all are the median
    assert lineart_standard(picture)[30, 20, 0] == 127


@pytest.mark.filterwarnings("error")
def test_nothing_to_draw_is_black_without_a_warning() -> None:
    """The original takes the median of no pixels at all."""
    assert not lineart_standard(np.full((16, 16, 3), 77, np.uint8)).any()
    assert not lineart_standard(np.full((1, 1, 3), 255, np.uint8)).any()
