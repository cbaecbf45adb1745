"""What OpenPose's networks say, a cell for 8 x 8 pixels, read at the pixels of a picture.

The published code enlarges its maps by Lanczos' filter, cuts off the padding, brings the rest to
the picture's size and blurs it: https://github.com/lllyasviel/ControlNet-v1-1-nightly, in
annotator/openpose/body.py and hand.py. Each step acts on rows and columns apart from each other, so
that one matrix for the rows and one for the columns do all of it, and single pixels can be read
without making a whole map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..opencv import opencv
from ..picture import Floats

Array: TypeAlias = Floats

STRIDE = 8
"""Pixels of the network's input to a cell, in each direction."""

BLUR = 3
"""The blur before maxima are looked for: standard deviation in pixels; 4 of it are looked at."""


@dataclass(frozen=True)
class Reading:
    """How maps of h x w cells are read at the H x W pixels of a picture.

    `rows` is H x h and `columns` W x w: rows @ map @ columns.T is the map at the picture's size.
    """

    rows: Array
    columns: Array

    def whole(self, cells: Array) -> Array:
        """`cells` (h x w) at every pixel: H x W."""
        tall: Array = self.rows @ cells
        whole: Array = tall @ self.columns.T
        return whole

    def at(self, cells: Array, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp]) -> Array:
        """`cells` (h x w) at the pixels (y, x), two arrays of one length."""
        found: Array = ((self.rows[y] @ cells) * self.columns[x]).sum(axis=1)
        return found

    def blurred(self) -> Reading:
        """The same with a blur of BLUR pixels after it."""
        return Reading(_blurred(self.rows), _blurred(self.columns))

    def top_left(self, height: int, width: int) -> Reading:
        """The same for the first `height` x `width` pixels alone."""
        return Reading(self.rows[:height], self.columns[:width])


def reading(seen: tuple[int, int], picture: tuple[int, int]) -> Reading:
    """How the maps of an input whose first `seen` pixels hold a picture are read at its own size.

    Both are height and width; what follows up to the next multiple of STRIDE is padding.
    """
    cv2 = opencv()
    # As the published code chooses: averages where it shrinks, Lanczos where it grows.
    way = cv2.INTER_AREA if sum(picture) < sum(seen) else cv2.INTER_LANCZOS4
    rows, columns = (_axis(*sides, way) for sides in zip(seen, picture, strict=True))
    return Reading(rows, columns)


def peak(values: Array) -> tuple[int, int]:
    """Row and column of the first largest of `values` (H x W)."""
    y, x = divmod(int(values.argmax()), values.shape[1])
    return y, x


def _axis(seen: int, wanted: int, way: int) -> Array:
    """Cells -> pixels along one side, `wanted` x cells: what is made of each unit vector."""
    cv2 = opencv()
    cells = -(-seen // STRIDE)
    fine = cv2.resize(
        np.eye(cells, dtype=np.float32), (cells, cells * STRIDE), interpolation=cv2.INTER_LANCZOS4
    )
    matrix: Array = cv2.resize(fine[:seen], (cells, wanted), interpolation=way)
    return matrix.reshape(wanted, cells)


def _blurred(matrix: Array) -> Array:
    cv2 = opencv()
    blurred: Array = cv2.GaussianBlur(
        matrix, (1, 8 * BLUR + 1), sigmaX=BLUR, sigmaY=BLUR, borderType=cv2.BORDER_REFLECT
    )
    return blurred.reshape(matrix.shape)
