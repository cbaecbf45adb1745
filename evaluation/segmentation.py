"""Does the picture have the hint's classes where the hint has them?

The paper's Table 2 (arXiv 2302.05543): pictures are made from ADE20K's label maps, a segmentation
network finds the labels again, and intersection over union says how many were kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..preprocessors.ade20k import ADE20K
from ..preprocessors.labels import UNLABELLED
from .edges import same_size

Labels = NDArray[np.uint8]
Counts = NDArray[np.int64]

PALETTE = np.array([colour for _, colour in ADE20K] + [(0, 0, 0)], np.float32)
"""The palette in the order of classes, and then the black of what is unlabelled."""

CLASSES = len(ADE20K)


def labels_of(hint: NDArray[np.uint8]) -> Labels:
    """The class of each pixel of a segmentation hint (h, w, 3), RGB in ADE20K's palette: uint8
    (h, w), 0..149, or UNLABELLED. A colour that is not in the palette is the nearest one that is.

    Classes 6 and 48 (road and skyscraper) have one colour: both are 6.
    """
    red, green, blue = np.moveaxis(hint.astype(np.int32), -1, 0)
    packed, place = np.unique((red << 16 | green << 8 | blue).ravel(), return_inverse=True)
    colours = np.stack((packed >> 16, packed >> 8 & 255, packed & 255), axis=1)
    # The squared distance without the colour's own square; whole numbers that float32 holds.
    apart = (PALETTE**2).sum(axis=1) - 2 * (colours.astype(np.float32) @ PALETTE.T)
    nearest = apart.argmin(axis=1)
    classes = np.where(nearest == CLASSES, UNLABELLED, nearest).astype(np.uint8)
    return np.asarray(classes[place.ravel()].reshape(hint.shape[:2]))


def overlap(found: Labels, wanted: Labels) -> tuple[Counts, Counts]:
    """Pixels of the intersection and of the union of each class (150,) in two label maps (h, w).

    Pixels unlabelled in `wanted` do not count. Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "label maps")
    asked = wanted != UNLABELLED
    one, other = found[asked], wanted[asked]
    kept = _counts(other[one == other])
    return kept, _counts(one) + _counts(other) - kept


def mean_iou(overlaps: Iterable[tuple[Counts, Counts]]) -> float:
    """Intersection over union, 0..1, of a set of `overlap`s: added up over the set, then the mean
    over all classes that are wanted or found in it. NaN where there are none.
    """
    kept, union = np.zeros(CLASSES, np.int64), np.zeros(CLASSES, np.int64)
    for one_kept, one_union in overlaps:
        kept, union = kept + one_kept, union + one_union
    there = union > 0
    return float((kept[there] / union[there]).mean()) if there.any() else math.nan


def pixel_accuracy(found: Labels, wanted: Labels) -> float:
    """Share of the labelled pixels of `wanted` (h, w), 0..1, that have the same class in `found`.
    NaN where none is labelled. Raises UserError when the sizes differ.
    """
    same_size(found, wanted, "label maps")
    asked = wanted != UNLABELLED
    return float((found[asked] == wanted[asked]).mean()) if asked.any() else math.nan


def _counts(labels: Labels) -> Counts:
    return np.bincount(labels, minlength=256)[:CLASSES]
