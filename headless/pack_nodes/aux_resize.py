"""Hints resized as comfyui_controlnet_aux's "Enchance And Resize Hint Images" resizes them.

Its ways are `high_quality_resize` of https://github.com/Mikubill/sd-webui-controlnet
(`scripts/utils.py`): flat colours by the nearest pixel, and lines of one pixel thinned again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...preprocessors.opencv import opencv
from ...preprocessors.picture import Bytes, grey_as_rgb
from ...preprocessors.scribble import highest_along_a_line
from ...preprocessors.sizing import Size

STRETCH, CUT, BARS = "Just Resize", "Crop and Resize", "Resize and Fill"
MODES = (STRETCH, CUT, BARS)

FEW_COLOURS = 200
"""Of fewer colours, and more than two, none is blended: a segmentation's, or a pose's."""

MOST_ROUNDS = 32
"""How often lines are thinned at most."""

_EDGES = (((-1, -1, -1), (0, 1, 0), (1, 1, 1)), ((0, -1, -1), (1, 1, -1), (0, 1, 0)))
_ENDS = (((-1, -1, -1), (-1, 1, -1), (0, 0, -1)), ((-1, -1, -1), (-1, 1, -1), (-1, 0, 0)))
"""What `thinned` takes away, in each of four turns: a line's sides, and the ends that stick out. 1
is white, -1 black, 0 either."""


def fitted(hint: Bytes, size: Size, mode: str) -> Bytes:
    """`hint` (uint8, H x W x 3) at `size`, by one of MODES: stretched, cut, or with bars of the
    middle colour of its border."""
    width, height = size
    if mode == STRETCH:
        return resized(hint, size)
    shares = height / hint.shape[0], width / hint.shape[1]
    share = min(shares) if mode == BARS else max(shares)
    inner = int(np.round(hint.shape[1] * share)), int(np.round(hint.shape[0] * share))
    made = resized(hint, inner)
    across, down = (abs(size[side] - inner[side]) // 2 for side in (0, 1))
    if mode == CUT:
        return np.ascontiguousarray(made[down : down + height, across : across + width])
    border = np.concatenate([hint[0], hint[-1], hint[:, 0], hint[:, -1]])
    filled = np.empty((height, width, 3), np.uint8)
    filled[:] = np.median(border, axis=0).astype(np.uint8)
    filled[down : down + inner[1], across : across + inner[0]] = made
    return filled


def resized(hint: Bytes, size: Size) -> Bytes:
    """`hint` (uint8, H x W x 3) at `size`, by what it holds: few colours, lines, or a picture."""
    cv2 = opencv()
    height, width = hint.shape[:2]
    if (width, height) == size:
        return hint
    smaller, larger = size[0] * size[1] < width * height, size[0] * size[1] > width * height
    colours = len(np.unique(hint.reshape(-1, 3), axis=0))
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    if 2 < colours < FEW_COLOURS:
        way = cv2.INTER_NEAREST
    made: Bytes = cv2.resize(hint, size, interpolation=way)
    if not (colours == 2 and hint.min() < 16 and hint.max() > 240):
        return made
    grey = np.mean(made.astype(np.float32), axis=2).clip(0, 255).astype(np.uint8)
    if not _is_thin(hint):
        return grey_as_rgb(_black_and_white(grey))
    ridges = np.where(highest_along_a_line(grey), grey, np.uint8(0))
    return grey_as_rgb(thinned(_black_and_white(ridges), ends=larger))


def thinned(lines: Bytes, ends: bool) -> Bytes:
    """White lines (uint8, H x W, 0 or 255) one pixel wide; with `ends` what sticks out is cut off
    them once."""
    left = lines.copy()
    for _ in range(MOST_ROUNDS):
        if not _taken(left, _EDGES):
            break
    if ends:
        _taken(left, _ENDS)
    return left


def _taken(lines: Bytes, patterns: tuple[tuple[tuple[int, ...], ...], ...]) -> bool:
    """Black out where one of `patterns` is found, turn by turn; whether any was."""
    cv2, found = opencv(), False
    for turns in range(4):
        for pattern in patterns:
            kernel = np.rot90(np.array(pattern, np.int32), turns)
            there = cv2.morphologyEx(lines, cv2.MORPH_HITMISS, kernel) > 127
            lines[there] = 0
            found |= bool(there.any())
    return found


def _is_thin(hint: Bytes) -> bool:
    """Whether most of its white vanishes where each pixel needs neighbours on all sides."""
    cv2, block = opencv(), np.ones((3, 3), np.uint8)
    opened: npt.NDArray[np.uint8] = cv2.dilate(cv2.erode(hint, block), block)
    return bool(2 * np.count_nonzero(opened < hint) > np.count_nonzero(hint > 127))


def _black_and_white(grey: Bytes) -> Bytes:
    cv2 = opencv()
    made: Bytes = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    return made
