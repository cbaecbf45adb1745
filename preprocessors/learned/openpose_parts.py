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

HAND_SIDES = (184, 368, 552, 736)
"""The sides at which a hand is looked at, in pixels; what is seen is averaged."""

HAND_GRID = 128
"""The side of the grid on which a hand's points are placed."""

FACE_SIDE = 384
"""The side at which a face is looked at, in pixels."""

SCORE = 0.05
"""What a point's map has to pass, a hand's after the blur."""


@dataclass(frozen=True)
class Square:
    """A part of a picture, its left and top edge and side in pixels. It may reach out of it."""

    left: int
    top: int
    side: int

    def cut(self, picture: Bytes) -> Bytes:
        """This part of `picture` (H x W x 3), grey where there is none: side x side x 3."""
        part = np.full((self.side, self.side, 3), GREY, np.uint8)
        top, left = max(self.top, 0), max(self.left, 0)
        seen = picture[top : max(self.top + self.side, 0), left : max(self.left + self.side, 0)]
        down, right = top - self.top, left - self.left
        part[down : down + seen.shape[0], right : right + seen.shape[1]] = seen
        return part

    def place(self, row: float, column: float, cells: int) -> tuple[float, float]:
        """x and y in the picture of a cell's middle on a grid of `cells` x `cells` over this."""
        scale = self.side / cells
        return (self.left + (column + 0.5) * scale - 0.5, self.top + (row + 0.5) * scale - 0.5)


def hand_square(body: Points, side: str) -> Square | None:
    """Where a body's hand is, "left" or "right"; None without an arm or where it is too small."""
    shoulder, elbow, wrist = (
        body[JOINTS.index(f"{side} {name}")] for name in ("shoulder", "elbow", "wrist")
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
        for side in ("right", "left"):
            away = float(np.abs(body[JOINTS.index(f"{side} {name}")] - nose).max())
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
    for side in HAND_SIDES:
        read = reading((side, side), grid)
        soft = read.blurred()
        for point, cells in enumerate(network(_resized(part, side))[: len(HAND)]):
            sharp[point] += read.whole(cells) / len(HAND_SIDES)
            blurred[point] += soft.whole(cells) / len(HAND_SIDES)
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
    seen = (FACE_SIDE, FACE_SIDE)
    read = reading(seen, seen)
    points = np.full((len(FACE), 2), np.nan)
    maps = network(_resized(square.cut(picture), FACE_SIDE))[: len(FACE)]
    for number, cells in enumerate(maps):
        if cells.max() > SCORE:
            points[number] = square.place(*peak(read.whole(cells)), FACE_SIDE)
    return points


def _around(middle: npt.NDArray[np.float64], side: float) -> Square | None:
    if np.isnan(middle).any() or side < SMALLEST:
        return None
    left, top = np.floor(middle - side / 2)
    return Square(int(left), int(top), int(side))


def _resized(part: Bytes, side: int) -> Bytes:
    cv2 = opencv()
    way = cv2.INTER_AREA if side < len(part) else cv2.INTER_LANCZOS4
    resized: Bytes = cv2.resize(part, (side, side), interpolation=way)
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
