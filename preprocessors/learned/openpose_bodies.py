"""The maps of OpenPose's body network -> bodies: maxima are joints, fields say whose they are.

Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields (2017), with the
numbers and the order of steps of https://github.com/lllyasviel/ControlNet-v1-1-nightly
(annotator/openpose/body.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..pose.body import LIMBS
from ..pose.people import JOINTS
from .openpose_maps import Array, Reading

EARS = ((3, 17), (6, 18))
"""Shoulder to ear, counted from 1: never drawn, but they hold a body together."""

FIELDS = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)
"""Where the x of each limb's field stands among the network's 38 maps; its y is the next one:
`POSE_COCO_MAP_IDX`, counted from the first field,
https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/v1.2.0/include/openpose/pose/poseParameters.hpp"""

JOINT_SCORE = 0.1
"""What a blurred maximum has to pass to be a joint."""

MOST = 64
"""Of each joint no more are looked at, the strongest: a crowd at the 184 pixels of height that the
network sees. It bounds the work that damaged weights or noise can make."""

SAMPLES = 10
"""How many points between two joints have a look at the field."""

FIELD_SCORE = 0.05
FIELD_SHARE = 0.8
"""More than this share of the points has to pass FIELD_SCORE."""

FEWEST_PARTS = 4
LOWEST_MEAN = 0.4
"""What a body must have: joints, and score a joint."""


@dataclass(frozen=True)
class Peaks:
    """The maxima of one joint's map: their pixels and the map's value there."""

    x: npt.NDArray[np.intp]
    y: npt.NDArray[np.intp]
    score: Array


@dataclass(frozen=True)
class _Pair:
    """A limb between the `start`-th and the `end`-th maximum of its two joints."""

    start: int
    end: int
    score: float


@dataclass
class _Body:
    """Which maximum each joint is, while limbs are being put together."""

    joints: dict[int, int] = field(default_factory=dict)
    score: float = 0.0
    parts: int = 0

    def has(self, joint: int, number: int) -> bool:
        return self.joints.get(joint) == number


def bodies(heat: Array, fields: Array, read: Reading) -> list[npt.NDArray[np.float64]]:
    """The bodies in a picture, each 18 x 2 (x, y): whole pixels, NaN where a joint was not found.

    `heat` (18 or more x h x w) says where joints are, `fields` (38 x h x w) where limbs point to,
    `read` how both are read at the picture's pixels.
    """
    blurred = read.blurred()
    peaks = [_peaks(heat[joint], read, blurred) for joint in range(len(JOINTS))]
    found: list[_Body] = []
    for number, (limb, channel) in enumerate(zip(LIMBS + EARS, FIELDS, strict=True)):
        start, end = limb[0] - 1, limb[1] - 1
        pairs = _pairs(peaks[start], peaks[end], fields[channel : channel + 2], read)
        for pair in pairs:
            _join(found, start, end, pair, peaks, starts=number < len(LIMBS))
    return [_points(body, peaks) for body in found if _is_whole(body)]


def _peaks(heat: Array, read: Reading, blurred: Reading) -> Peaks:
    smooth = blurred.whole(heat)
    bottom, right = smooth.shape[0] - 1, smooth.shape[1] - 1
    y, x = np.nonzero(smooth > JOINT_SCORE)
    highest = smooth[y, x]
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        # Beyond an edge a pixel is compared with itself.
        beside = smooth[(y + down).clip(0, bottom), (x + across).clip(0, right)]
        kept = highest >= beside
        y, x, highest = y[kept], x[kept], highest[kept]
    score = read.at(heat, y, x)
    strongest = np.sort(np.argsort(-score, kind="stable")[:MOST])
    return Peaks(x[strongest], y[strongest], score[strongest])


def _pairs(a: Peaks, b: Peaks, limb: Array, read: Reading) -> list[_Pair]:
    """Which of `a` and `b` a limb joins, by the field `limb` (2 x h x w), the surest pair first."""
    if not len(a.x) or not len(b.x):
        return []
    start = np.stack([a.x, a.y], axis=1)[:, None]  # A x 1 x 2
    end = np.stack([b.x, b.y], axis=1)[None]  # 1 x B x 2
    way = end - start
    length = np.maximum(np.hypot(way[..., 0], way[..., 1]), 0.001)
    points = np.rint(np.linspace(start, end, SAMPLES, axis=2)).astype(np.intp)
    x, y = points[..., 0].ravel(), points[..., 1].ravel()
    across, down = (read.at(cells, y, x).reshape(points.shape[:3]) for cells in limb)
    along = (across * way[..., :1] + down * way[..., 1:]) / length[..., None]  # A x B x SAMPLES
    too_long = np.minimum(0.5 * len(read.rows) / length - 1, 0)
    score = along.mean(axis=2) + too_long
    good = ((along > FIELD_SCORE).sum(axis=2) > FIELD_SHARE * SAMPLES) & (score > 0)
    return _surest(score, good)


def _surest(score: npt.NDArray[np.float64], good: npt.NDArray[np.bool_]) -> list[_Pair]:
    pairs: list[_Pair] = []
    starts, ends = np.nonzero(good)
    for i in np.argsort(-score[starts, ends], kind="stable"):
        start, end = int(starts[i]), int(ends[i])
        if all(start != pair.start and end != pair.end for pair in pairs):
            pairs.append(_Pair(start, end, float(score[start, end])))
    return pairs


def _join(
    found: list[_Body], start: int, end: int, pair: _Pair, peaks: Sequence[Peaks], starts: bool
) -> None:
    """Add a limb to the bodies found so far; a limb that `starts` may begin a new one."""
    end_score = float(peaks[end].score[pair.end])
    owners = [body for body in found if body.has(start, pair.start) or body.has(end, pair.end)]
    if not owners:
        if starts:
            both = float(peaks[start].score[pair.start]) + end_score
            found.append(_Body({start: pair.start, end: pair.end}, both + pair.score, parts=2))
        return
    body = owners[0]
    if len(owners) > 1 and not body.joints.keys() & owners[1].joints.keys():
        other = owners[1]
        found[:] = [one for one in found if one is not other]
        body.joints |= other.joints
        body.score += other.score + pair.score
        body.parts += other.parts
    elif len(owners) > 1 or not body.has(end, pair.end):
        body.joints[end] = pair.end
        body.score += end_score + pair.score
        body.parts += 1


def _is_whole(body: _Body) -> bool:
    return body.parts >= FEWEST_PARTS and body.score / body.parts >= LOWEST_MEAN


def _points(body: _Body, peaks: Sequence[Peaks]) -> npt.NDArray[np.float64]:
    points = np.full((len(JOINTS), 2), np.nan)
    for joint, number in body.joints.items():
        points[joint] = peaks[joint].x[number], peaks[joint].y[number]
    return points
