"""Do surfaces face the way the hint says?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .edges import Mask, same_size

CLOSE = 11.25
"""Degrees within which a normal counts as right, the strictest of the three usual limits: Fouhey,
Gupta and Hebert 2013, "Data-Driven 3D Primitives for Single Image Understanding"."""


class NormalAgreement(NamedTuple):
    """The mean angle in degrees between two maps of normals, and the share, 0..1, within CLOSE."""

    mean_angle: float
    close: float


def normal_agreement(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> NormalAgreement:
    """How well two normal hints agree: RGB (h, w, 3) in 0..1, each channel one axis from -1 to 1,
    both with the same order of axes.

    Black in `wanted` is no normal (the bars around a picture) and does not count; NaN where there
    is nothing else. Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "normal maps")
    asked: Mask = wanted.max(axis=-1) > 0
    if not asked.any():
        return NormalAgreement(math.nan, math.nan)
    one, other = _unit(found[asked]), _unit(wanted[asked])
    # Half the angle, by two sides of a right triangle: exact where the arccosine is not, near 0.
    apart, along = (np.linalg.norm(side, axis=-1) for side in (one - other, one + other))
    angle = np.degrees(2 * np.arctan2(apart, along))
    return NormalAgreement(float(angle.mean()), float((angle <= CLOSE).mean()))


def _unit(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGB (n, 3) -> directions of length 1; grey, which has none, stays 0 and is 90 degrees off."""
    vectors = rgb * 2 - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float64)
