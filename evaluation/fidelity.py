"""The one way in: a condition found again in a picture beside the hint that the picture was made
from -> the figures of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ..ground.errors import UserError
from ..preprocessors.labels import UNLABELLED
from ..preprocessors.pose.people import Pose
from ..preprocessors.spec import Hint, Shows
from .depth import aligned_rmse, log_rmse, rank_correlation
from .edges import Mask, distance_at, edge_agreement, paired_f1, tolerance_at
from .normals import normal_agreement
from .people import pose_agreement
from .pictures import Picture, as_bytes, colour_intersection, rmse, ssim
from .points import point_agreement
from .segmentation import labels_of, mean_iou, overlap, pixel_accuracy
from .spread import spread

Condition: TypeAlias = Hint | Pose
"""What is compared: a hint (h, w, 3), bytes or floats in 0..1, or the people in it."""

SOFT = 0.5
"""An edge is what is brighter than this: the threshold (127 of 255) at which ControlNet itself cuts
soft edges, `gradio_fake_scribble2image.py` in https://github.com/lllyasviel/ControlNet"""


@dataclass(frozen=True)
class Figure:
    """One figure of one picture. NaN where it has no meaning, such as joints where nobody is."""

    name: str
    value: float
    higher_is_better: bool


@dataclass(frozen=True)
class Mean:
    """A figure over a set: the mean of the `count` values that are numbers, and their sample
    standard deviation. NaN where there are too few.
    """

    name: str
    value: float
    deviation: float
    count: int
    higher_is_better: bool


def compare(kind: Shows, found: Condition, wanted: Condition) -> tuple[Figure, ...]:
    """How well the condition `found` in a picture agrees with the hint `wanted`, the headline
    first. `kind` is one of KINDS; "pose" takes two Poses, all others two hints of one size.

    All are NaN beside a hint that `asks_nothing`: whatever was found is no evidence. Raises
    UserError for sizes that differ (both are named), another kind, and a skeleton that is a
    picture.
    """
    if kind not in KINDS:
        raise UserError(f"There is no kind of hint {kind!r}; choose one of {', '.join(KINDS)}.")
    if kind == "pose":
        return _told(kind, wanted, _pose(found, wanted))
    if isinstance(found, Pose) or isinstance(wanted, Pose):
        raise UserError(f"Hints of the kind {kind} are pictures, and one of the two is a pose.")
    one, other = _values(found), _values(wanted)
    if one.shape != other.shape:
        raise UserError(
            f"The condition found is {one.shape[1]} x {one.shape[0]} pixels and the hint "
            f"{other.shape[1]} x {other.shape[0]}: resize one of them."
        )
    return _told(kind, wanted, _FIGURES[kind](one, other))


def asks_nothing(kind: Shows, wanted: Condition) -> bool:
    """Whether there is nothing in a hint that a picture could follow: no edge or point over half
    brightness, nobody, no surface or class, or one depth or one colour all over.
    """
    if isinstance(wanted, Pose):
        return not any(joint for person in wanted.people for joint in person.body)
    return kind in _EMPTY and _EMPTY[kind](_values(wanted))


def _points(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    agreement = point_agreement(_bright(found), _bright(wanted))
    return (
        Figure("point distance (px)", agreement.distance, False),
        Figure("points too many or too few", float(agreement.unpaired), False),
    )


def _told(kind: Shows, wanted: Condition, figures: tuple[Figure, ...]) -> tuple[Figure, ...]:
    if not asks_nothing(kind, wanted):
        return figures
    return tuple(replace(figure, value=math.nan) for figure in figures)


def means(rows: Sequence[Sequence[Figure]]) -> tuple[Mean, ...]:
    """The figures of a set, one row a picture, in the order of the first row."""
    names = {figure.name: figure.higher_is_better for row in rows for figure in row}
    return tuple(
        _mean(name, [f.value for row in rows for f in row if f.name == name], higher)
        for name, higher in names.items()
    )


def _mean(name: str, values: Sequence[float], higher_is_better: bool) -> Mean:
    found = spread(values)
    return Mean(name, found.mean, found.deviation, found.count, higher_is_better)


def _values(hint: Hint) -> Picture:
    """A hint (h, w, 3) as float64 in 0..1; -1, the inpaint hint's mask, stays."""
    if hint.ndim != 3 or hint.shape[2] != 3 or not hint.size:
        shape = " x ".join(str(side) for side in hint.shape)
        raise UserError(f"A hint is a picture, height x width x 3 (RGB), and this one is {shape}.")
    values = hint.astype(np.float64)
    if hint.dtype == np.uint8:
        return values / 255
    if not np.isfinite(values).all() or values.max() > 1:
        raise UserError(
            f"A hint of floats is in 0..1, and this one goes up to {values.max():g}; scale it, or "
            "give bytes."
        )
    return values


def _edges(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    one, other = (_bright(hint) for hint in (found, wanted))
    agreement = edge_agreement(one, other, tolerance_at(*one.shape))
    return (
        Figure("edge F1", agreement.f1, True),
        Figure("edge precision", agreement.precision, True),
        Figure("edge recall", agreement.recall, True),
        Figure("edge F1, one to one", paired_f1(one, other, distance_at(*one.shape)), True),
        Figure("SSIM", ssim(found, wanted), True),
    )


def _bright(hint: Picture) -> Mask:
    return np.asarray(hint.max(axis=-1) > SOFT)


def _depth(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    one, other = (hint.mean(axis=-1) for hint in (found, wanted))
    return (
        Figure("depth RMSE, aligned", aligned_rmse(one, other), False),
        Figure("depth log RMSE, scale-invariant", log_rmse(one, other), False),
        Figure("depth rank correlation", rank_correlation(one, other), True),
    )


def _normals(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    agreement = normal_agreement(found, wanted)
    return (
        Figure("normal angle (degrees)", agreement.mean_angle, False),
        Figure("normals within 11.25°", agreement.close, True),
    )


def _segmentation(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    one, other = (labels_of(as_bytes(hint)) for hint in (found, wanted))
    return (
        Figure("mean IoU", mean_iou([overlap(one, other)]), True),
        Figure("pixel accuracy", pixel_accuracy(one, other), True),
    )


def _picture(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    asked = _asked(wanted)
    return (
        Figure("SSIM", ssim(found, wanted, asked), True),
        Figure("RMSE", rmse(found, wanted, asked), False),
    )


def _asked(wanted: Picture) -> Mask:
    """Where a hint says something: not where an inpaint hint is masked."""
    return np.asarray(wanted.min(axis=-1) >= 0)


def _plain(wanted: Picture) -> bool:
    """Whether a hint has one colour all over."""
    colours = wanted[_asked(wanted)]
    return not len(colours) or not np.ptp(colours, axis=0).any()


def _colours(found: Picture, wanted: Picture) -> tuple[Figure, ...]:
    return (Figure("colours in common", colour_intersection(found, wanted), True),)


def _pose(found: Condition, wanted: Condition) -> tuple[Figure, ...]:
    if not isinstance(found, Pose) or not isinstance(wanted, Pose):
        raise UserError(
            "A drawn skeleton cannot be compared: give poses, as OpenPose JSON, for both."
        )
    agreement = pose_agreement(found, wanted)
    return (
        Figure("PCK@0.1", agreement.pck, True),
        Figure("OKS", agreement.oks, True),
        Figure("extra people", float(agreement.extra), False),
    )


Drawn: TypeAlias = Literal[
    "picture", "edges", "points", "depth", "normals", "segmentation", "colours"
]
"""All that a hint may show which is a picture."""

_FIGURES: Mapping[Shows, Callable[[Picture, Picture], tuple[Figure, ...]]] = {
    "edges": _edges,
    "depth": _depth,
    "normals": _normals,
    "segmentation": _segmentation,
    "picture": _picture,
    "colours": _colours,
    "points": _points,
}

_EMPTY: Mapping[Shows, Callable[[Picture], bool]] = {
    "edges": lambda hint: not _bright(hint).any(),
    "depth": lambda hint: not np.ptp(hint.mean(axis=-1)),
    "normals": lambda hint: not hint.any(),
    "segmentation": lambda hint: bool((labels_of(as_bytes(hint)) == UNLABELLED).all()),
    "picture": _plain,
    "colours": _plain,
    "points": lambda hint: not _bright(hint).any(),
}
"""What makes a hint of each kind empty."""

KINDS: tuple[Shows, ...] = (*_FIGURES, "pose")
"""All that a hint may show."""
