"""Do points lie where the hint has them?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..preprocessors.opencv import opencv
from .edges import Mask, same_size

Points = NDArray[np.float64]

MOST = 1000
"""Spots of a hint that are points, the largest; one with more shows something else."""


class PointAgreement(NamedTuple):
    """`distance` in pixels, from 0 to the diagonal, and how many points there are too many or too
    few. NaN and 0 where there is none on either side."""

    distance: float
    unpaired: int


def point_agreement(found: Mask, wanted: Mask) -> PointAgreement:
    """How far the points of two maps (h, w) lie apart: each connected spot is one, at its centre,
    and they are paired off so that the sum of distances is least.

    The mean is over all points, and one without a partner is as far off as can be, the diagonal:
    the OSPA distance of order 1 with that cut-off, Schuhmacher, Vo and Vo 2008, "A Consistent
    Metric for Performance Evaluation of Multi-Object Filters". Raises UserError when the sizes
    differ.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    same_size(found, wanted, "maps of points")
    one, other = points_of(found), points_of(wanted)
    unpaired = abs(len(one) - len(other))
    if not len(one) and not len(other):
        return PointAgreement(math.nan, 0)
    apart = cdist(one, other)
    pairs = linear_sum_assignment(apart)
    total = float(apart[pairs].sum()) + unpaired * math.hypot(*wanted.shape)
    return PointAgreement(total / max(len(one), len(other)), unpaired)


def points_of(spots: Mask) -> Points:
    """The centres (n, 2), x and y in pixels, of connected spots in a map (h, w), the largest first,
    MOST at most. Pixels that touch at a corner are connected."""
    found = opencv().connectedComponentsWithStats(spots.astype(np.uint8), connectivity=8)
    _, _, about, centres = found
    largest = np.argsort(-about[1:, opencv().CC_STAT_AREA], kind="stable")[:MOST]
    return np.asarray(centres[1:][largest], np.float64).reshape(-1, 2)
