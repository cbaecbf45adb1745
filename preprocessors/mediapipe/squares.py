"""Turned squares of a picture: what a network is shown, and where its points lie in the picture.

Points are those of a canvas: the middle of pixel i is i + 0.5, y downwards. Angles are in radians
and turn from x to y, as MediaPipe's do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..opencv import opencv
from ..picture import Bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Points: TypeAlias = npt.NDArray[np.float64]
"""N x 2: x and y."""


@dataclass(frozen=True)
class Square:
    """A part of a picture: its middle and its side in pixels, turned by `angle`."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @property
    def axes(self) -> npt.NDArray[np.float64]:
        """2 x 2: the square's own x and y as rows, of length 1, in the picture."""
        along, across = math.cos(self.angle), math.sin(self.angle)
        return np.array([[along, across], [-across, along]])

    def outside(self, points: Points) -> Points:
        """`points` of the picture that are given in parts of the square: 0..1 from its corner."""
        found: Points = (points - 0.5) * self.side @ self.axes + (self.x, self.y)
        return found

    def moved(self, down: float, scale: float) -> Square:
        """The square moved along its own y by a part of its side, then made `scale` times as large:
        mediapipe/calculators/util/rect_transformation_calculator.cc, shift_y and scale."""
        x, y = (0, down * self.side) @ self.axes + (self.x, self.y)
        return Square(float(x), float(y), self.side * scale, self.angle)


def upright(points: Points, start: Points, end: Points, target: float) -> Square:
    """The square of the longer side of the box around `points`, turned so that the line from
    `start` to `end` has the angle `target` (degrees, counted to the left, 90 is up) in it:
    mediapipe/calculators/util/detections_to_rects_calculator.cc, with square_long."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (low + high) / 2
    return Square(float(x), float(y), float((high - low).max()), turn(start, end, target))


def between(middle: Points, edge: Points, target: float) -> Square:
    """The square around `middle` that reaches to `edge`:
    mediapipe/calculators/util/alignment_points_to_rects_calculator.cc."""
    side = 2 * math.dist(middle, edge)
    return Square(float(middle[0]), float(middle[1]), side, turn(middle, edge, target))


def turn(start: Points, end: Points, target: float) -> float:
    """The angle, in -pi..pi, of a square in which the line from `start` to `end` has `target`."""
    across, down = end - start
    return math.remainder(math.radians(target) - math.atan2(-down, across), 2 * math.pi)


@dataclass(frozen=True)
class Scene:
    """A picture (uint8 RGB, H x W x 3), of which squares are looked at."""

    picture: Bytes

    @cached_property
    def _halves(self) -> list[Bytes]:
        return [self.picture]

    def _halved(self, times: int) -> Bytes:
        """The picture with its sides halved so often."""
        cv2 = opencv()
        while len(self._halves) <= times:
            last = self._halves[-1]
            size = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
            self._halves.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
        return self._halves[times]

    def seen(self, square: Square, side: int, black: bool = False) -> Bytes:
        """What lies in `square`, at `side` x `side` pixels. Beyond the picture's edge its last
        pixels are repeated, or it is `black`.

        Halved first where it shrinks much: MediaPipe takes single pixels then.
        """
        cv2 = opencv()
        least = min(self.picture.shape[:2])
        times = max(0, math.floor(math.log2(max(square.side / side, 1))))
        times = min(times, max(0, least.bit_length() - 1))
        part = self._halved(times)
        high, wide = self.picture.shape[:2]
        scale = np.array([part.shape[1] / wide, part.shape[0] / high])
        corners = square.outside(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])) * scale - 0.5
        target = np.array([[0, 0], [side, 0], [0, side]], np.float32) - 0.5
        way = cv2.getAffineTransform(corners.astype(np.float32), target.astype(np.float32))
        border = cv2.BORDER_CONSTANT if black else cv2.BORDER_REPLICATE
        shown: Bytes = cv2.warpAffine(
            part, way, (side, side), flags=cv2.INTER_LINEAR, borderMode=border
        )
        return shown


def batch(pictures: Sequence[Bytes], device: torch.device, low: float = 0.0) -> Tensor:
    """`pictures` of one size as N x 3 x H x W, float32 in `low`..1, channels last in memory."""
    import torch

    pixels = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2)
    return pixels.float() * ((1 - low) / 255) + low


Seen = TypeVar("Seen")


def twice(
    look: Callable[[Sequence[Square]], list[Seen | None]],
    squares: Sequence[Square],
    again: Callable[[Seen], Square],
) -> list[Seen | None]:
    """What `look` finds in each square; what was seen of it first tells where to look `again`, as
    from picture to picture in MediaPipe's tracker."""
    first = look(squares)
    second = iter(look([again(one) for one in first if one is not None]))
    return [None if one is None else next(second) for one in first]
