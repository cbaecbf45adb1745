"""Do the edges of a picture lie where the hint has them?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ground.errors import UserError
from ..preprocessors.opencv import opencv

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

TOLERANCE = 0.0075
"""How far an edge may lie from the wanted one, as a part of the diagonal: `maxDist` of the Berkeley
edge benchmark (BSDS500, `correspondPixels`),
https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"""

MAX_PAIRS = 4_000_000
"""Pairs of pixels that are paired off, in a second or two and 300 MB."""


class EdgeAgreement(NamedTuple):
    """Of the edge pixels found, the share that was wanted (precision); of those wanted, the share
    that was found (recall); and the harmonic mean of the two. All 0..1.
    """

    f1: float
    precision: float
    recall: float


def edge_agreement(found: Mask, wanted: Mask, tolerance: int) -> EdgeAgreement:
    """How well two boolean edge maps (h, w) agree: an edge pixel counts where the other map has one
    within `tolerance` pixels in x and in y.

    Several pixels may count by the same one; `paired_f1` pairs them off. Two empty maps agree: 1.
    Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "edge maps")
    if not found.any() and not wanted.any():
        return EdgeAgreement(1.0, 1.0, 1.0)
    precision = _share(found, widened(wanted, tolerance))
    recall = _share(wanted, widened(found, tolerance))
    total = precision + recall
    return EdgeAgreement(2 * precision * recall / total if total else 0.0, precision, recall)


def edge_f1(found: Mask, wanted: Mask, tolerance: int = 1) -> float:
    """The F1 of `edge_agreement`."""
    return edge_agreement(found, wanted, tolerance).f1


def paired_f1(found: Mask, wanted: Mask, distance: float) -> float:
    """The F1, 0..1, of two boolean edge maps (h, w) whose edge pixels are paired off: each counts
    by one of the other map at most, at most `distance` pixels away (Euclidean), so that as many as
    can be have a partner.

    BSDS500 pairs pixels off, too, after thinning the edges found, and so that the sum of distances
    is small; edges are taken here as they are. Two empty maps agree: 1. NaN where more than
    MAX_PAIRS pairs are near enough: such maps are areas and not edges. Raises UserError when the
    sizes differ.
    """
    same_size(found, wanted, "edge maps")
    total = int(found.sum()) + int(wanted.sum())
    if not total:
        return 1.0
    pairs = _near_pairs(found, wanted, distance)
    return math.nan if pairs is None else 2 * _most_pairs(*pairs) / total


def _near_pairs(found: Mask, wanted: Mask, distance: float) -> tuple[Places, Places] | None:
    """The number of every pixel found and of each wanted pixel near it, counted from 0 in the
    order of the maps; None for more than MAX_PAIRS.
    """
    reach = min(math.floor(distance), max(found.shape) - 1)
    numbers = np.full(wanted.shape, -1, np.int32)
    numbers[wanted] = np.arange(wanted.sum())
    around = np.pad(numbers, reach, constant_values=-1)
    y, x = np.nonzero(found)
    places = (y + reach) * around.shape[1] + x + reach
    ones, others, count = [], [], 0
    for down, across in np.ndindex(2 * reach + 1, 2 * reach + 1):
        step = down - reach, across - reach
        if math.hypot(*step) <= distance:
            near = around.ravel()[places + step[0] * around.shape[1] + step[1]]
            (at,) = np.nonzero(near >= 0)
            ones.append(at)
            others.append(near[at])
            count += len(at)
        if count > MAX_PAIRS:
            return None
    return np.concatenate(ones), np.concatenate(others)


def _most_pairs(ones: Places, others: Places) -> int:
    """Of pairs that may be, how many can be at once: the largest flow (Dinic's way) from a source
    through each of `ones` once, and then through each of `others` once. scipy's own bipartite
    matching did not end in minutes for noise of 512 px.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    if not len(ones):
        return 0
    left, right = int(ones.max()) + 1, int(others.max()) + 1
    source, sink = left + right, left + right + 1
    starts = (ones, np.full(left, source), left + np.arange(right))
    ends = (left + others, np.arange(left), np.full(right, sink))
    arcs = np.concatenate(starts), np.concatenate(ends)
    once = np.ones(len(arcs[0]), np.int32)
    graph = csr_array((once, arcs), shape=(sink + 1, sink + 1))
    return int(maximum_flow(graph, source, sink).flow_value)


def tolerance_at(height: int, width: int) -> int:
    """TOLERANCE in whole pixels, at least 1: 1 at 128 x 128, 5 at 512 x 512."""
    return max(1, round(distance_at(height, width)))


def distance_at(height: int, width: int) -> float:
    """TOLERANCE in pixels, at least 1: 1.4 at 128 x 128, 5.4 at 512 x 512."""
    return max(1.0, TOLERANCE * math.hypot(height, width))


def widened(mask: Mask, by: int) -> Mask:
    """The mask (h, w) grown by a square of `by` pixels in each direction."""
    square = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(opencv().dilate(mask.astype(np.uint8), square), bool)


def _share(of: Mask, inside: Mask) -> float:
    total = int(of.sum())
    return float((of & inside).sum()) / total if total else 0.0


def same_size(one: NDArray[np.generic], other: NDArray[np.generic], what: str) -> None:
    """Raise UserError unless both arrays have one shape."""
    if one.shape != other.shape:
        raise UserError(
            f"The two {what} differ in size, {one.shape} and {other.shape}: resize one of them."
        )
