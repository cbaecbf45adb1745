"""Invert by known values: 1 - the picture, twice the picture again."""

from __future__ import annotations

import numpy as np

from controlstack.preprocessors.invert import invert


def test_every_level_is_taken_from_white() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    picture = np.stack((levels, levels[:, ::-1], np.full_like(levels, 7)), axis=2)
    assert np.array_equal(invert(picture)[..., 0], levels[:, ::-1])
    assert np.array_equal(invert(picture)[..., 1], levels)
    assert (invert(picture)[..., 2] == 248).all()
    assert np.array_equal(invert(invert(picture)), picture)
    assert np.abs((1 - picture / 255) - invert(picture) / 255).max() < 1e-12


def test_a_drawing_of_black_on_white_becomes_white_on_black() -> None:
    page = np.full((32, 32, 3), 255, np.uint8)
    page[15:17, 4:28] = 0
    hint = invert(page)
    assert (hint[15:17, 4:28] == 255).all()
    assert hint.sum() == 2 * 24 * 3 * 255
