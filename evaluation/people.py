"""Does everybody in the pose stand in the picture as the pose has them?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ground.errors import UserError
from ..preprocessors.pose.people import JOINTS, Person, Pose
from .joints import Points, body_size, pck

REACH = 0.1
"""How far a joint may lie from where it should be, as a part of the body's longer side, at least
one pixel: PCK@0.1 of Yang and Ramanan 2013, "Articulated Human Detection with Flexible Mixtures of
Parts"."""

SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072,
    "wrist": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089,
}  # fmt: skip
"""How much people who mark joints disagree, in units of the body: COCO's 17 joints,
`kpt_oks_sigmas` in
https://github.com/cocodataset/cocoapi/blob/master/PythonAPI/pycocotools/cocoeval.py.
OpenPose's neck is none of them and has no part in OKS."""

FILLED = 0.53
"""How much of the box around its joints a body fills, where its own area is not known: the factor
for data sets without areas of
https://github.com/jin-s13/xtcocoapi/blob/master/xtcocotools/cocoeval.py"""

_SIGMA = np.array([SIGMAS.get(name.split()[-1], np.nan) for name in JOINTS])


class PoseAgreement(NamedTuple):
    """`pck`: share of the wanted joints, 0..1, found near where they should be. `oks`: mean object
    keypoint similarity, 0..1, of the wanted people. `extra`: people found beyond those wanted.
    """

    pck: float
    oks: float
    extra: int


def pose_agreement(found: Pose, wanted: Pose) -> PoseAgreement:
    """How well the people found stand as the people wanted.

    Each wanted person is paired with one found, so that the sum of their similarities is largest;
    a wanted person without a partner has 0 of everything, and one found without a partner is
    extra. Only the 18 joints of the body count. PCK and OKS are NaN where nobody is wanted. Raises
    UserError for poses of different canvases, and for fractions of an unknown one.
    """
    pairs = paired(found, wanted)
    extra = max(len(_bodies(found, _canvas(found, wanted))) - len(pairs), 0)
    if not pairs:
        return PoseAgreement(math.nan, math.nan, extra)
    joints = np.array([_joints(body) for _, body in pairs])
    near = np.array([pck(one, body, max(REACH * body_size(body), 1.0)) for one, body in pairs])
    similar = [s for s in (oks(one, body) for one, body in pairs) if not math.isnan(s)]
    return PoseAgreement(
        float((near * joints).sum() / joints.sum()),
        float(np.mean(similar)) if similar else math.nan,
        extra,
    )


def paired(found: Pose, wanted: Pose) -> tuple[tuple[Points, Points], ...]:
    """The body found for each one wanted, as `pose_agreement` pairs them, and the one wanted: both
    (18, 2) in pixels. NaN where a joint is not there, and all over where nobody was found.
    """
    size = _canvas(found, wanted)
    there, asked = _bodies(found, size), _bodies(wanted, size)
    if not asked:
        return ()
    partners = _partners(there, asked)
    nobody = np.full_like(asked[0], np.nan)
    return tuple(
        (there[partners[i]] if i in partners else nobody, body) for i, body in enumerate(asked)
    )


def oks(found: Points, wanted: Points) -> float:
    """COCO's object keypoint similarity, 0..1, of two bodies (18, 2) in pixels, NaN where a joint
    is not there: https://cocodataset.org/#keypoints-eval. The body's area is FILLED of the box
    around the wanted joints, at least one pixel. Joints not found count as 0; NaN where no joint
    but the neck is wanted.
    """
    asked = ~np.isnan(wanted).any(axis=-1) & ~np.isnan(_SIGMA)
    if not asked.any():
        return math.nan
    width, height = np.nanmax(wanted, axis=0) - np.nanmin(wanted, axis=0)
    area = max(FILLED * float(width) * float(height), 1.0)
    squares = ((found[asked] - wanted[asked]) ** 2).sum(axis=-1)
    similar = np.exp(-squares / (2 * area * (2 * _SIGMA[asked]) ** 2))
    return float(np.nan_to_num(similar).mean())


def _partners(there: Sequence[Points], asked: Sequence[Points]) -> dict[int, int]:
    """Which of the people found is which of those wanted: index wanted -> index found."""
    from scipy.optimize import linear_sum_assignment

    similar = np.array([[oks(one, body) for one in there] for body in asked])
    rows, columns = linear_sum_assignment(
        np.nan_to_num(similar.reshape(len(asked), len(there))), maximize=True
    )
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}


def _joints(body: Points) -> int:
    return int((~np.isnan(body).any(axis=-1)).sum())


def _bodies(pose: Pose, size: tuple[float, float]) -> list[Points]:
    """The people who have a body joint, in pixels of a canvas of `size`."""
    scale = size if pose.fractions else (1.0, 1.0)
    bodies = [_body(person, scale) for person in pose.people]
    return [body for body in bodies if _joints(body)]


def _body(person: Person, scale: tuple[float, float]) -> NDArray[np.float32]:
    return np.array(
        [
            (joint.x * scale[0], joint.y * scale[1]) if joint else (math.nan, math.nan)
            for joint in person.body
        ],
        np.float32,
    )


def _canvas(found: Pose, wanted: Pose) -> tuple[float, float]:
    """The canvas that both poses share."""
    known = [pose.canvas for pose in (found, wanted) if pose.canvas is not None]
    if len(set(known)) > 1:
        (one, other) = known
        raise UserError(
            f"The two poses differ in size, {one[0]:g} x {one[1]:g} and {other[0]:g} x "
            f"{other[1]:g}: resize one of them."
        )
    if not known and (found.fractions or wanted.fractions):
        raise UserError(
            "A pose in fractions of its canvas has no canvas_width and canvas_height; add them."
        )
    return known[0] if known else (1.0, 1.0)
