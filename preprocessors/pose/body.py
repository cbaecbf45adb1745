"""A body's skeleton: 17 limbs and 18 joints, drawn as one of the two published styles.

The tables are those of `draw_bodypose` in
https://github.com/lllyasviel/ControlNet-v1-1-nightly/blob/main/annotator/openpose/util.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..opencv import opencv
from ..picture import Bytes
from .people import Joint, Points

LIMBS = (
    (2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13),
    (13, 14), (2, 1), (1, 15), (15, 17), (1, 16), (16, 18),
)  # fmt: skip
"""In drawing order, as pairs of joints counted from 1. OpenPose's list has two more, from the
shoulders to the ears, which are for finding people and are not drawn."""

COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
"""RGB. Joint i has colour i, and limb i has a darker or blended colour i."""

LIMB_BRIGHTNESS = 0.6
"""v1.1 paints limbs in this much of their colour."""

LIMB_OPACITY = 0.6
"""v1.0 blends limbs over what is there:
https://github.com/lllyasviel/ControlNet/blob/main/annotator/openpose/util.py"""


def draw_body(picture: Bytes, body: Points, radius: int) -> None:
    """Draw one body as v1.1 did: dark limbs, then joints over them.

    Person by person, as sd-webui, controlnet-aux and comfyui_controlnet_aux do. The first v1.1
    annotator went limb by limb through everyone, which shows only where people overlap.

    `body` is in pixels of `picture` (uint8 RGB); `radius` is a joint's, and half a limb's width.
    """
    cv2 = opencv()
    for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
        outline = _outline(body[start - 1], body[end - 1], radius)
        if outline is not None:
            cv2.fillConvexPoly(picture, outline, [int(LIMB_BRIGHTNESS * c) for c in colour])
    for joint, colour in zip(body, COLOURS, strict=True):
        _draw_joint(picture, joint, radius, colour)


def draw_blended_bodies(picture: Bytes, bodies: Sequence[Points], radius: int) -> None:
    """Draw all bodies of a frame as v1.0 did: everyone's joints, then everyone's limbs blended in.

    Joint by joint and limb by limb, as blending makes the order show where people overlap. Units
    are those of `draw_body`.
    """
    cv2 = opencv()
    for number, colour in enumerate(COLOURS):
        for body in bodies:
            _draw_joint(picture, body[number], radius, colour)
    for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
        for body in bodies:
            outline = _outline(body[start - 1], body[end - 1], radius)
            if outline is not None:
                over = picture.copy()
                cv2.fillConvexPoly(over, outline, colour)
                cv2.addWeighted(picture, 1 - LIMB_OPACITY, over, LIMB_OPACITY, 0, dst=picture)


def _outline(a: Joint | None, b: Joint | None, radius: int) -> npt.NDArray[np.int32] | None:
    """A limb's polygon, or None where one of its joints was not found."""
    if a is None or b is None:
        return None
    # Whole pixels and degrees are cut off, not rounded, as where the ControlNets' hints were drawn.
    middle = (int((a.x + b.x) / 2), int((a.y + b.y) / 2))
    axes = (int(math.dist((a.x, a.y), (b.x, b.y)) / 2), radius)
    angle = int(math.degrees(math.atan2(a.y - b.y, a.x - b.x)))
    return np.asarray(opencv().ellipse2Poly(middle, axes, angle, 0, 360, 1), np.int32)


def _draw_joint(
    picture: Bytes, joint: Joint | None, radius: int, colour: tuple[int, int, int]
) -> None:
    if joint is not None:
        opencv().circle(picture, (int(joint.x), int(joint.y)), radius, colour, thickness=-1)
