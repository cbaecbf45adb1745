"""Is what is near in the hint near in the picture?

Depth hints are relative: near is 1, far is 0, and what the numbers between mean differs from model
to model and from picture to picture. So each figure leaves out what such a hint does not say.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .edges import same_size

Map = NDArray[np.float64]

STEP = 1 / 255
"""Nearness below one step of 8 bits counts as one step: the farthest point has no logarithm."""


def aligned_rmse(found: Map, wanted: Map) -> float:
    """Root mean square error of `found` after the scale and shift that fit it best to `wanted`,
    by least squares: Ranftl et al. 2020 (MiDaS, arXiv 1907.01341), section 5.

    Both are (h, w), nearness in 0..1, and the error is in units of `wanted`. The scale is never
    below 0, or a depth turned inside out would be perfect. A flat `found` has the error of a guess:
    the standard deviation of `wanted`. Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "depth maps")
    spread = found - found.mean()
    target = wanted - wanted.mean()
    variance = float((spread**2).mean())
    scale = max(float((spread * target).mean()) / variance, 0.0) if variance else 0.0
    return math.sqrt(float(((scale * spread - target) ** 2).mean()))


def log_rmse(found: Map, wanted: Map) -> float:
    """Scale-invariant root mean square error in log space: Eigen et al. 2014 (arXiv 1406.2283),
    section 3.2, with all of the mean taken out.

    Both are (h, w), nearness in 0..1; of nearness and of its inverse, distance, it is the same.
    Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "depth maps")
    apart = np.log(np.maximum(found, STEP)) - np.log(np.maximum(wanted, STEP))
    return float(apart.std())


def rank_correlation(found: Map, wanted: Map) -> float:
    """Spearman's rank correlation, -1..1, of two depth maps (h, w): does it keep the order of
    near and far? Equal values share their mean rank. NaN where one map is flat, which has no order.

    Raises UserError when the sizes differ.
    """
    from scipy.stats import spearmanr

    same_size(found, wanted, "depth maps")
    if not np.ptp(found) or not np.ptp(wanted):
        return math.nan
    return float(spearmanr(found.ravel(), wanted.ravel()).statistic)
