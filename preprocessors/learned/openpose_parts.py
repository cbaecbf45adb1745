"""Hands and faces: where a body has them, and what OpenPose's networks for them say.

Where they are: `handDetector.cpp` of https://github.com/CMU-Perceptual-Computing-Lab/openpose for
hands, and `faceDetect` of https://github.com/lllyasviel/ControlNet-v1-1-nightly
(annotator/openpose/util.py) for faces. Points and boxes are whole pixels or parts of them; a point
is NaN where it was not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..opencv import opencv
from ..picture import Bytes
from ..pose.people import FACE, HAND, JOINTS
from .openpose_maps import Array, peak, reading

Points: TypeAlias = npt.NDArray[np.float64]
"""N x 2: x, y."""

Network: TypeAlias = Callable[[Bytes], Array]
"""A picture (uint8 BGR) -> its maps, a cell for STRIDE x STRIDE pixels."""

SMALLEST = 20
"""Pixels: no hand or face is looked for in a smaller square."""

GREY = 128
"""What the networks see where there is no picture."""

HAND_EDGES = (184, 368, 552, 736)
"""The edges at which a hand is looked at, in pixels; what is seen is averaged."""

HAND_GRID = 128
"""The edge of the grid on which a hand's points are placed."""

FACE_EDGE = 384
"""The edge at which a face is looked at, in pixels."""

SCORE = 0.05
"""What a point's map has to pass, a hand's after the blur."""


@dataclass(frozen=True)
class Square:
    """A part of a picture: its left and top and its edge's length, in pixels. It may reach out."""

    left: int
    top: int
    edge: int

    def cut(self, picture: Bytes) -> Bytes:
        """This part of `picture` (H x W x 3), grey where there is none: edge x edge x 3."""
        part = np.full((self.edge, self.edge, 3), GREY, np.uint8)
        top, left = max(self.top, 0), max(self.left, 0)
        seen = picture[top : max(self.top + self.edge, 0), left : max(self.left + self.edge, 0)]
        down, right = top - self.top, left - self.left
        part[down : down + seen.shape[0], right : right + seen.shape[1]] = seen
        return part

    def place(self, row: float, column: float, cells: int) -> tuple[float, float]:
        """x and y in the picture of a cell's middle on a grid of `cells` x `cells` over this."""
        scale = self.edge / cells
        return (self.left + (column + 0.5) * scale - 0.5, self.top + (row + 0.5) * scale - 0.5)


def hand_square(body: Points, whose: str) -> Square | None:
    """Where a body's hand is, "left" or "right"; None without an arm or where it is too small."""
    shoulder, elbow, wrist = (
        body[JOINTS.index(f"{whose} {name}")] for name in ("shoulder", "elbow", "wrist")
    )
    if np.isnan([shoulder, elbow, wrist]).any():
        return None
    lower, upper = np.linalg.norm(wrist - elbow), np.linalg.norm(elbow - shoulder)
    return _around(wrist + 0.33 * (wrist - elbow), 1.5 * float(max(lower, 0.9 * upper)))


def face_square(body: Points) -> Square | None:
    """Where a body's face is; None without a nose, an eye or an ear, and where it is too small."""
    nose = body[JOINTS.index("nose")]
    reach = 0.0
    for name, times in (("eye", 3.0), ("ear", 1.5)):
        for whose in ("right", "left"):
            away = float(np.abs(body[JOINTS.index(f"{whose} {name}")] - nose).max())
            if not np.isnan(away):
                reach = max(reach, times * away)
    return _around(nose, 2 * reach)


def find_hand(picture: Bytes, square: Square, network: Network) -> Points:
    """The 21 points of the hand in a `square` of `picture` (uint8 BGR)."""
    cv2 = opencv()
    part = cv2.GaussianBlur(square.cut(picture), (0, 0), 0.8)
    grid = (HAND_GRID, HAND_GRID)
    blurred: Array = np.zeros((len(HAND), *grid), np.float32)
    sharp = np.zeros_like(blurred)
    for edge in HAND_EDGES:
        read = reading((edge, edge), grid)
        soft = read.blurred()
        for point, cells in enumerate(network(_resized(part, edge))[: len(HAND)]):
            sharp[point] += read.whole(cells) / len(HAND_EDGES)
            blurred[point] += soft.whole(cells) / len(HAND_EDGES)
    points = np.full((len(HAND), 2), np.nan)
    for number in range(len(HAND)):
        inside = _heaviest(sharp[number], blurred[number] > SCORE)
        if inside is not None:
            points[number] = square.place(*peak(inside), HAND_GRID)
    return points


def find_face(picture: Bytes, square: Square, network: Network) -> Points:
    """The 70 points of the face in a `square` of `picture` (uint8 BGR).

    The published code takes the maximum among cells and counts the background, the network's last
    map, for a 71st point. Here cells are divided as for bodies and hands, and there are 70 points.
    """
    seen = (FACE_EDGE, FACE_EDGE)
    read = reading(seen, seen)
    points = np.full((len(FACE), 2), np.nan)
    maps = network(_resized(square.cut(picture), FACE_EDGE))[: len(FACE)]
    for number, cells in enumerate(maps):
        if cells.max() > SCORE:
            points[number] = square.place(*peak(read.whole(cells)), FACE_EDGE)
    return points


def _around(middle: npt.NDArray[np.float64], edge: float) -> Square | None:
    if np.isnan(middle).any() or edge < SMALLEST:
        return None
    left, top = np.floor(middle - edge / 2)
    return Square(int(left), int(top), int(edge))


def _resized(part: Bytes, edge: int) -> Bytes:
    cv2 = opencv()
    way = cv2.INTER_AREA if edge < len(part) else cv2.INTER_LANCZOS4
    resized: Bytes = cv2.resize(part, (edge, edge), interpolation=way)
    return resized


def _heaviest(values: Array, where: npt.NDArray[np.bool_]) -> Array | None:
    """`values` in the one connected part of `where` that holds most of them, 0 elsewhere."""
    cv2 = opencv()
    count, labels = cv2.connectedComponents(where.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    weights = np.bincount(labels.ravel(), values.ravel(), count)[1:]
    inside: Array = np.where(labels == 1 + int(weights.argmax()), values, 0)
    return inside
