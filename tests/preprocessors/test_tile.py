"""Tile: the picture, less sharp, in its place."""

import cv2
import numpy as np
import pytest

from controlstack.preprocessors.tile import tile


def test_by_default_it_is_a_copy() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    hint = tile(picture)
    assert np.array_equal(hint, picture)
    assert not np.shares_memory(hint, picture)


def test_detail_is_averaged_away() -> None:
    checks = np.indices((32, 32)).sum(axis=0) % 2 * 255
    hint = tile(np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8), 2.0)
    assert hint.min() >= 127
    assert hint.max() <= 128


@pytest.mark.parametrize("rate", [1.5, 2.0, 4.0, 8.0])
def test_a_blurred_disc_stays_where_it_was(rate: float) -> None:
    """comfyui_controlnet_aux's doublings of a picture an eighth as large move it by 3.5 pixels."""
    picture = np.zeros((128, 192, 3), np.uint8)
    cv2.circle(picture, (120, 40), 12, (255, 255, 255), -1)
    weights = tile(picture, rate)[:, :, 0].astype(np.float64)
    rows, columns = np.indices(weights.shape)
    assert abs(np.average(columns, weights=weights) - 120) < 0.25
    assert abs(np.average(rows, weights=weights) - 40) < 0.25


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (5, 2048)])
def test_a_side_shorter_than_the_rate_is_one_pixel_in_between(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 90, np.uint8)
    assert np.array_equal(tile(picture, 8.0), picture)
