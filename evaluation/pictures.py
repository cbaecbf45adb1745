"""How alike are two hints that are pictures themselves?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..preprocessors.opencv import opencv
from ..preprocessors.spec import Hint
from .edges import Mask, same_size

Picture = NDArray[np.float64]

WINDOW, SIGMA = 11, 1.5
"""Pixels: SSIM's Gaussian window and its standard deviation."""
C1, C2 = 0.01**2, 0.03**2
"""SSIM's two constants for values of 0..1. All four are from Wang et al. 2004, "Image Quality
Assessment: From Error Visibility to Structural Similarity", section III."""

BINS = 8
"""Steps of each channel in a histogram of colours: 512 colours in all, in the range that Swain and
Ballard found enough."""


def as_bytes(hint: Hint | Picture) -> NDArray[np.uint8]:
    """A hint with 8 bits a channel; values outside 0..1 are cut off."""
    if hint.dtype == np.uint8:
        return hint.astype(np.uint8, copy=False)
    return np.asarray(np.rint(np.clip(hint, 0, 1) * 255), np.uint8)


def rmse(found: Picture, wanted: Picture, asked: Mask | None = None) -> float:
    """Root mean square error of two pictures (h, w, 3) in 0..1, over the pixels `asked` (h, w). NaN
    where none is. The peak signal-to-noise ratio in dB is -20 log10 of it. Raises UserError when
    the sizes differ.
    """
    same_size(found, wanted, "pictures")
    squares = (found - wanted) ** 2 if asked is None else ((found - wanted) ** 2)[asked]
    return math.sqrt(float(squares.mean())) if squares.size else math.nan


def ssim(found: Picture, wanted: Picture, asked: Mask | None = None) -> float:
    """Structural similarity, -1..1, of two pictures (h, w, 3) in 0..1: the mean over channels and
    over the pixels `asked` (h, w) whose window lies in the picture. NaN where none does.

    Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "pictures")
    if min(found.shape[:2]) < WINDOW:
        return math.nan
    mean_f, mean_w = _blurred(found), _blurred(wanted)
    var_f = _blurred(found * found) - mean_f**2
    var_w = _blurred(wanted * wanted) - mean_w**2
    both = _blurred(found * wanted) - mean_f * mean_w
    light = (2 * mean_f * mean_w + C1) / (mean_f**2 + mean_w**2 + C1)
    structure = (2 * both + C2) / (var_f + var_w + C2)
    by_pixel = (light * structure).mean(axis=-1)
    kept = by_pixel if asked is None else by_pixel[_inside(asked)]
    return float(kept.mean()) if kept.size else math.nan


def colour_intersection(found: Picture, wanted: Picture) -> float:
    """Share of colours, 0..1, that two pictures (h, w, 3) in 0..1 have in common, wherever they
    are: histogram intersection, Swain and Ballard 1991, "Color Indexing". Sizes may differ.
    """
    return float(np.minimum(_histogram(found), _histogram(wanted)).sum())


def _blurred(values: Picture) -> Picture:
    """`values` seen through the window, where it lies in the picture."""
    blurred = opencv().GaussianBlur(values, (WINDOW, WINDOW), SIGMA)
    return np.asarray(_inside(blurred), np.float64)


def _inside(values: NDArray[np.generic]) -> NDArray[np.generic]:
    edge = WINDOW // 2
    return values[edge : values.shape[0] - edge, edge : values.shape[1] - edge]


def _histogram(values: Picture) -> Picture:
    """The share of each of BINS ** 3 colours."""
    steps = np.clip(values * BINS, 0, BINS - 1).astype(np.int64)
    colours = (steps[..., 0] * BINS + steps[..., 1]) * BINS + steps[..., 2]
    return np.bincount(colours.ravel(), minlength=BINS**3) / colours.size
