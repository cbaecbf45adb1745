"""Hands and faces, drawn as in both published styles.

The tables are those of `draw_handpose` and `draw_facepose` in
https://github.com/lllyasviel/ControlNet-v1-1-nightly/blob/main/annotator/openpose/util.py
"""

from __future__ import annotations

from ..opencv import opencv
from ..picture import Bytes
from .people import Joint, Points

BONES = tuple(
    (start, end)
    for root in (1, 5, 9, 13, 17)
    for start, end in ((0, root), (root, root + 1), (root + 1, root + 2), (root + 2, root + 3))
)
"""The 20 lines of a hand in drawing order, as pairs of points counted from 0: each finger from the
wrist to its tip."""

BONE_COLOURS = (
    (255, 0, 0), (255, 77, 0), (255, 153, 0), (255, 229, 0), (204, 255, 0), (128, 255, 0),
    (51, 255, 0), (0, 255, 25), (0, 255, 102), (0, 255, 179), (0, 255, 255), (0, 178, 255),
    (0, 102, 255), (0, 25, 255), (51, 0, 255), (128, 0, 255), (204, 0, 255), (255, 0, 230),
    (255, 0, 153), (255, 0, 77),
)  # fmt: skip
"""RGB: full colours of the hues 0/20, 1/20, ... of a turn."""

HAND_POINT = (0, 0, 255)
"""RGB: blue. The annotators draw on a canvas that goes to the ControlNet as it is."""

FACE_POINT = (255, 255, 255)


def draw_hand(picture: Bytes, hand: Points, radius: int, thickness: int) -> None:
    """Draw a hand's lines, `thickness` wide, and its points over them.

    `hand` is in pixels of `picture` (uint8 RGB).
    """
    cv2 = opencv()
    pixels = [_pixel(point) for point in hand]
    for (start, end), colour in zip(BONES, BONE_COLOURS, strict=True):
        a, b = pixels[start], pixels[end]
        if a is not None and b is not None:
            cv2.line(picture, a, b, colour, thickness)
    for pixel in pixels:
        if pixel is not None:
            cv2.circle(picture, pixel, radius, HAND_POINT, thickness=-1)


def draw_face(picture: Bytes, face: Points, radius: int) -> None:
    """Draw a face's points, in pixels of `picture` (uint8 RGB), as white discs."""
    for point in face:
        pixel = _pixel(point)
        if pixel is not None:
            opencv().circle(picture, pixel, radius, FACE_POINT, thickness=-1)


def _pixel(point: Joint | None) -> tuple[int, int] | None:
    """Where to draw a point; None also at the left and upper edge and beyond.

    There, at -1, the annotators put the points of hands and faces that they did not find, and
    their JSON holds them with full confidence. They draw none of these.
    """
    if point is None:
        return None
    across, down = int(point.x), int(point.y)
    return (across, down) if across > 0 and down > 0 else None
