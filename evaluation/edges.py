"""Do the edges of a picture lie where the hint has them?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ground.errors import UserError

Mask = NDArray[np.bool_]

TOLERANCE = 0.0075
"""How far an edge may lie from the wanted one, as a part of the diagonal: `maxDist` of the Berkeley
edge benchmark (BSDS500, `correspondPixels`),
https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"""


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

    Several pixels may count by the same one, where BSDS pairs them off. Two empty maps agree: 1.
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


def tolerance_at(height: int, width: int) -> int:
    """TOLERANCE in whole pixels, at least 1: 1 at 128 x 128, 5 at 512 x 512."""
    return max(1, round(TOLERANCE * float(np.hypot(height, width))))


def widened(mask: Mask, by: int) -> Mask:
    """The mask (h, w) grown by a square of `by` pixels to each side."""
    return _grown_across(_grown_across(mask, by).T, by).T


def _grown_across(mask: Mask, by: int) -> Mask:
    """The mask (h, w) grown by `by` pixels to the left and to the right."""
    width = mask.shape[1]
    padded = np.pad(mask, ((0, 0), (by, by)))
    grown = np.zeros_like(mask)
    for x in range(2 * by + 1):
        grown |= padded[:, x : x + width]
    return grown


def _share(of: Mask, inside: Mask) -> float:
    total = int(of.sum())
    return float((of & inside).sum()) / total if total else 0.0


def same_size(one: NDArray[np.generic], other: NDArray[np.generic], what: str) -> None:
    """Raise UserError unless both arrays have one shape."""
    if one.shape != other.shape:
        raise UserError(
            f"The two {what} differ in size, {one.shape} and {other.shape}: resize one of them."
        )
