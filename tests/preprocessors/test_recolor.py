"""Recolor: lightness by CIE's L*, and the brightest channel."""

import numpy as np
import pytest

from controlstack.preprocessors.recolor import recolor_intensity, recolor_luminance

# https://en.wikipedia.org/wiki/CIELAB_color_space: L* of the sRGB primaries under D65.
LIGHTNESS = {
    (255, 0, 0): 53.24,
    (0, 255, 0): 87.73,
    (0, 0, 255): 32.30,
    (255, 255, 255): 100,
    (0, 0, 0): 0,
}


@pytest.mark.parametrize("colour", LIGHTNESS)
def test_luminance_is_how_light_a_colour_looks(colour: tuple[int, int, int]) -> None:
    hint = recolor_luminance(np.full((2, 3, 3), colour, np.uint8))
    assert hint.shape == (2, 3, 3)
    assert len(np.unique(hint)) == 1
    assert abs(int(hint[0, 0, 0]) - LIGHTNESS[colour] * 2.55) <= 1


@pytest.mark.parametrize(
    ("colour", "intensity"),
    [((255, 0, 0), 255), ((0, 0, 255), 255), ((10, 200, 30), 200), ((7, 7, 7), 7)],
)
def test_intensity_is_the_brightest_channel(colour: tuple[int, ...], intensity: int) -> None:
    assert (recolor_intensity(np.full((2, 3, 3), colour, np.uint8)) == intensity).all()


def test_a_gamma_of_1_keeps_every_level() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.array_equal(recolor_intensity(levels), levels)


@pytest.mark.parametrize(
    ("gamma", "level", "expected"),
    [(2.0, 128, 64), (0.5, 64, 128), (2.0, 255, 255), (0.1, 0, 0)],
)
def test_gamma_is_a_power_of_the_range_0_to_1(gamma: float, level: int, expected: int) -> None:
    """255 * (128 / 255) ** 2 is 64.3, and 255 * (64 / 255) ** 0.5 is 127.7."""
    grey = np.full((1, 1, 3), level, np.uint8)
    assert (recolor_intensity(grey, gamma) == expected).all()
