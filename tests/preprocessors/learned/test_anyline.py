"""Anyline's two layers and what joins them, against the author's steps in numbers of 0..1."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from scipy import ndimage

from controlstack.preprocessors.learned.anyline import ANYLINE, screen, without_specks
from controlstack.preprocessors.learned.networks import annotators
from controlstack.preprocessors.learned.teed import TEED
from controlstack.preprocessors.making import Loaded, Sizing, make
from controlstack.preprocessors.sizing import resized
from tests.annotator_files import publish, random_state

CPU = torch.device("cpu")


def _drawing() -> np.ndarray:
    """Black strokes and specks of several sizes on a light slope."""
    picture = np.repeat(np.linspace(150, 250, 128, dtype=np.uint8)[None, :, None], 128, axis=0)
    picture = np.repeat(picture, 3, axis=2)
    cv2.line(picture, (5, 5), (100, 60), (0, 0, 0), 2)
    cv2.circle(picture, (80, 90), 20, (60, 20, 30), 1)
    for side in range(1, 6):
        picture[110 : 110 + side, side * 12 : side * 12 + side] = 0
    return picture


def _by_the_author(edges: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """ComfyUI-Anyline's steps on H x W x 3 in 0..1: patches of fewer than 36 of all numbers go."""
    patches, _ = ndimage.label(strokes > 0)
    kept = strokes * (np.bincount(patches.ravel()) >= 36)[patches]
    return np.where(kept > 0, 1 - (1 - kept) * (1 - edges), edges)


def test_anyline_is_the_authors(tmp_path: Path) -> None:
    assert ANYLINE.learning is not None
    assert TEED.learning is not None
    picture = _drawing()
    path = publish(tmp_path, "Anyline/MTEED.pth", random_state("MTEED.pth", seed=8))
    edges = TEED.learning.load([path])(picture, CPU, safe_steps=2)
    detector = annotators("lineart_standard").LineartStandardDetector()
    strokes = detector(picture, 2.0, 3, detect_resolution=128, output_type="np")
    wanted = _by_the_author(edges / 255.0, strokes / 255.0)
    found = ANYLINE.learning.load([path])(picture, CPU, **ANYLINE.settings({}))
    assert np.abs(found - wanted * 255).max() <= 0.51  # half a level, by rounding
    changed = found != edges
    assert changed.any()
    assert not changed.all()


def test_by_itself_it_looks_at_the_publishers_resolution(tmp_path: Path) -> None:
    assert ANYLINE.learning is not None
    path = publish(tmp_path, "Anyline/MTEED.pth", random_state("MTEED.pth", seed=8))
    loaded = Loaded(ANYLINE.learning.load([path]), CPU)
    picture, settings = _drawing(), ANYLINE.settings({})
    large = loaded.annotator(resized(picture, (1280, 1280)), CPU, **settings)
    assert isinstance(large, np.ndarray)
    made = make(ANYLINE, picture, settings, Sizing(), loaded)
    assert np.array_equal(made.hint, resized(large, (128, 128)))
    asked = make(ANYLINE, picture, settings, Sizing(resolution=128), loaded)
    assert np.array_equal(asked.hint, loaded.annotator(picture, CPU, **settings))
    assert not np.array_equal(asked.hint, made.hint)


def test_a_patch_of_twelve_pixels_is_kept_and_one_of_eleven_is_a_speck() -> None:
    strokes = np.zeros((20, 40), np.uint8)
    strokes[2:5, 2:6] = 9  # 12
    strokes[2:5, 10:14] = 9
    strokes[2, 10] = 0  # 11
    strokes[10, 2:8] = 9
    strokes[11, 8:14] = 9  # 6 and 6, touching at a corner only
    kept = np.zeros_like(strokes)
    kept[2:5, 2:6] = 9
    assert np.array_equal(without_specks(strokes), kept)
    assert without_specks(np.zeros((1, 1), np.uint8)).tolist() == [[0]]
    assert without_specks(np.full((4, 4), 5, np.uint8)).min() == 5


def test_light_over_light_is_one_minus_the_product_of_the_darks() -> None:
    a, b = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    wanted = 255 * (1 - (1 - a / 255) * (1 - b / 255))
    assert np.abs(screen(a, b) - wanted).max() <= 0.5 + 1e-9
    assert np.array_equal(screen(a, np.zeros_like(a)), a)


def test_the_defaults_are_the_originals() -> None:
    assert ANYLINE.settings({}) == {"gaussian_sigma": 2.0, "intensity_threshold": 3}
