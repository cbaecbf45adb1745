"""MediaPipe's detectors of people and faces: what they see, their anchors, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..learned.tensors import finite
from .squares import Points, Scene, Square, batch

if TYPE_CHECKING:
    import torch

OVERLAP = 0.3
"""From which part of their union two boxes are of one person: min_suppression_threshold of
mediapipe/modules/pose_detection/pose_detection_cpu.pbtxt, and of face_detection."""

CLIP = 100.0
"""score_clipping_thresh of both."""


PART = 0.62
"""Side of the parts in which the picture is searched again, as a part of its shorter side, so that
two in a row and four in all cover a square one."""

SMALL, SURER = PART / 2, 0.85
"""Side of those in which small faces are looked for, and the score from which one is one there:
faces of 40 pixels in a picture of 1000 are found so."""

SURE = 0.75
"""The score from which a face is one, and a person in a part or in a turned picture. Measured on 40
photos: all faces of groups have 0.86 and more, and nothing without people was 0.75."""


LONGEST = 4
"""How many times longer than wide a picture is cut into parts by its width."""

AT_ONCE = 16
"""So many squares are looked at together; more would take memory and no less time."""


@dataclass(frozen=True)
class Detector:
    """What the numbers of a detector mean: the `strides` of its layers of anchors, and how many
    `points` each box has."""

    strides: tuple[int, ...]
    points: int


PEOPLE = Detector((8, 16, 32, 32, 32), 4)
"""mediapipe/modules/pose_detection/pose_detection_cpu.pbtxt. The box is around the face; the points
are the middle of the hips, one that tells how far the body reaches and how it is turned, and the
same two for the upper body."""

FACES = Detector((8, 16, 16, 16), 6)
"""mediapipe/modules/face_detection/face_detection_short_range.pbtxt. The points are the person's
right eye, left eye, nose, mouth, right ear and left ear."""


@dataclass(frozen=True)
class Found:
    """A box (left, top, right, bottom as 2 x 2) and its `points`, in pixels of the picture, and how
    sure the detector is of it, in 0..1."""

    box: Points
    points: Points
    score: float

    @property
    def middle(self) -> Points:
        """Of the box."""
        found: Points = self.box.mean(axis=0)
        return found

    @property
    def side(self) -> float:
        """The longer one of the box, in pixels."""
        return float((self.box[1] - self.box[0]).max())

    def holds(self, point: Points) -> bool:
        """Whether a point is in the box."""
        return bool(((self.box[0] <= point) & (point <= self.box[1])).all())


def detect(
    scene: Scene,
    squares: Sequence[Square],
    network: Any,
    detector: Detector,
    device: torch.device,
    threshold: float,
) -> list[Found]:
    """What is found in any of `squares` with a score of `threshold` or more, the surest first. What
    is seen in several of them is found as often."""
    found: list[Found] = []
    for start in range(0, len(squares), AT_ONCE):
        some = squares[start : start + AT_ONCE]
        shown = [scene.seen(square, network.side, black=True) for square in some]
        said = network(batch(shown, device, low=-1.0))
        boxes, scores = (
            finite(said[name], "MediaPipe").cpu().double().numpy() for name in ("boxes", "scores")
        )
        likely = 1 / (1 + np.exp(-scores[..., 0].clip(-CLIP, CLIP)))
        for square, rows, sure in zip(some, boxes, likely, strict=True):
            there = sure >= threshold
            found += merged(_read(rows[there], sure[there], square, detector, network.side, there))
    return sorted(found, key=lambda one: -one.score)


def _read(
    rows: Any, sure: Any, square: Square, detector: Detector, side: int, there: Any
) -> list[Found]:
    """Each row's box and points, which are offsets from its anchor in pixels of what was seen:
    mediapipe/calculators/tensor/tensors_to_detections_calculator.cc, with scales of the side and
    anchors of a fixed size."""
    middles = anchors(detector.strides, side)[there]
    pairs = rows.reshape(len(rows), 2 + detector.points, 2) / side
    points = pairs + middles[:, None]
    half = pairs[:, 1] / 2
    corners = np.stack([points[:, 0] - half, points[:, 0] + half], axis=1)
    return [
        Found(_box(square, box), square.outside(each), float(score))
        for box, each, score in zip(corners, points[:, 2:], sure, strict=True)
    ]


def _box(square: Square, corners: Points) -> Points:
    """The upright box around a box of a square, which may be turned."""
    (left, top), (right, bottom) = corners
    whole = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    outside = square.outside(whole)
    return np.stack([outside.min(axis=0), outside.max(axis=0)])


def look_for_faces(
    scene: Scene, network: Any, device: torch.device, threshold: float
) -> list[Found]:
    """Each face in any of the `views` and in smaller parts once, the surest first. Those that are
    not seen in the whole picture have to be surer than the `threshold`: SURE, SURER."""
    whole, *others = views(scene)
    looks = (([whole], threshold), (others, SURE), (parts(scene, SMALL), SURER))
    kept: list[Found] = []
    for squares, least in looks:
        for face in detect(scene, squares, network, FACES, device, max(threshold, least)):
            if not any(face.holds(one.middle) or one.holds(face.middle) for one in kept):
                kept.append(face)
    return sorted(kept, key=lambda one: -one.score)


def views(scene: Scene) -> list[Square]:
    """The whole picture; squares that cover it and overlap, smaller than it; the whole turned."""
    height, width = scene.picture.shape[:2]
    whole = Square(width / 2, height / 2, max(width, height))
    turned = [replace(whole, angle=math.pi / 2 * turns) for turns in (1, 2, 3)]
    return [whole, *parts(scene, PART), *turned]


def parts(scene: Scene, part: float) -> list[Square]:
    """Squares that cover the picture and overlap, `part` of its shorter side large; of a picture
    that is longer than LONGEST times that, they are larger and fewer."""
    height, width = scene.picture.shape[:2]
    side = part * max(min(width, height), max(width, height) / LONGEST)
    return [Square(x, y, side) for y in _middles(height, side) for x in _middles(width, side)]


def _middles(length: float, side: float) -> list[float]:
    """Of the fewest parts of a `length` that overlap by a third of `side` or more."""
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side * 2 / 3)) + 1
    return [float(at) for at in np.linspace(side / 2, length - side / 2, count)]


@cache
def anchors(strides: tuple[int, ...], side: int) -> Points:
    """N x 2 in 0..1: the middles of the cells of each layer, row by row, two a layer; layers of one
    stride share their cells: mediapipe/calculators/tflite/ssd_anchors_calculator.cc with one aspect
    ratio and the interpolated scale beside it."""
    found = []
    for stride in dict.fromkeys(strides):
        cells = math.ceil(side / stride)
        at = (np.arange(cells) + 0.5) / cells
        grid = np.stack([np.tile(at, cells), np.repeat(at, cells)], axis=1)
        found.append(np.repeat(grid, 2 * strides.count(stride), axis=0))
    return np.concatenate(found)


def merged(found: Sequence[Found]) -> list[Found]:
    """Boxes that overlap as one, their mean weighted by score, the surest first:
    WeightedNonMaxSuppression in mediapipe/calculators/util/non_max_suppression_calculator.cc."""
    left = sorted(found, key=lambda one: -one.score)
    kept = []
    while left:
        same = [one for one in left if overlap(one.box, left[0].box) > OVERLAP] or left[:1]
        weights = np.array([one.score for one in same])
        box, points = (
            np.average(np.stack([getattr(one, part) for one in same]), axis=0, weights=weights)
            for part in ("box", "points")
        )
        kept.append(Found(box, points, left[0].score))
        left = [one for one in left if not any(one is other for other in same)]
    return kept


def overlap(one: Points, other: Points) -> float:
    """The part of their union that two boxes (2 x 2) share, 0..1."""
    wide, high = (np.minimum(one[1], other[1]) - np.maximum(one[0], other[0])).clip(0)
    shared = wide * high
    union = np.prod(one[1] - one[0]) + np.prod(other[1] - other[0]) - shared
    return float(shared / union) if union > 0 else 0.0
