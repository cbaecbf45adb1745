"""People -> the skeleton picture that the OpenPose ControlNets were trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...errors import UserError
from ..opencv import opencv
from .people import JOINTS, Person, Pose, parse_poses

LIMBS = (
    (2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13),
    (13, 14), (2, 1), (1, 15), (15, 17), (1, 16), (16, 18),
)  # fmt: skip
"""The limbs in drawing order, as pairs of joints counted from 1. This and COLOURS:
https://github.com/lllyasviel/ControlNet-v1-1-nightly/blob/main/annotator/openpose/util.py"""

COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
"""RGB. Joint i has colour i; limb i has colour i at LIMB_BRIGHTNESS."""

LIMB_BRIGHTNESS = 0.6
"""v1.1 paints limbs darker and joints over them; v1.0 blended limbs over joints."""

THICKNESS = 4 / 512
"""Half a limb's width and a joint's radius, as a part of the smaller side: 4 px at 512."""

REACH = 8
"""How many pictures away from the picture a joint may lie before it is taken for a mistake."""

MAX_SIDE = 16384
"""The largest side that ComfyUI's own nodes offer."""


def draw_pose(pose: Pose | Mapping[str, object], width: int, height: int) -> npt.NDArray[np.uint8]:
    """The skeletons of one frame on black: uint8 RGB, height x width x 3, stretched to that size.

    A frame of OpenPose JSON may be given as it is. Raises UserError for a size outside
    1..MAX_SIDE, and for a joint more than REACH pictures away.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise UserError(
            f"A pose cannot be drawn {width} x {height} pixels large; "
            f"give sides from 1 to {MAX_SIDE}."
        )
    frame = pose if isinstance(pose, Pose) else parse_poses(pose)[0]
    picture = np.zeros((height, width, 3), np.uint8)
    thickness = max(1, int(THICKNESS * min(width, height) + 0.5))
    extent = (1.0, 1.0) if frame.fractions else frame.canvas or (width, height)
    for number, person in enumerate(frame.people, start=1):
        points = _to_pixels(person, extent, width, height, number)
        _draw_person(picture, points, thickness)
    return picture


def _draw_person(
    picture: npt.NDArray[np.uint8], points: list[tuple[float, float] | None], thickness: int
) -> None:
    cv2 = opencv()

    # Whole pixels and degrees are cut off, not rounded, as where the ControlNets' hints were drawn.
    for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
        a, b = points[start - 1], points[end - 1]
        if a is None or b is None:
            continue
        middle = (int((a[0] + b[0]) / 2), int((a[1] + b[1]) / 2))
        axes = (int(math.dist(a, b) / 2), thickness)
        angle = int(math.degrees(math.atan2(a[1] - b[1], a[0] - b[0])))
        outline = np.asarray(cv2.ellipse2Poly(middle, axes, angle, 0, 360, 1))
        cv2.fillConvexPoly(picture, outline, [int(LIMB_BRIGHTNESS * c) for c in colour])
    for point, colour in zip(points, COLOURS, strict=True):
        if point is not None:
            centre = (int(point[0]), int(point[1]))
            cv2.circle(picture, centre, thickness, colour, thickness=-1)


def _to_pixels(
    person: Person, canvas: tuple[float, float], width: int, height: int, number: int
) -> list[tuple[float, float] | None]:
    points: list[tuple[float, float] | None] = []
    for name, joint in zip(JOINTS, person.body, strict=True):
        if joint is None:
            points.append(None)
            continue
        across, down = joint.x / canvas[0], joint.y / canvas[1]
        if max(abs(across), abs(down)) > REACH:
            raise UserError(
                f"Person {number}'s {name} lies at ({joint.x:g}, {joint.y:g}), far outside the "
                f"canvas of {canvas[0]:g} x {canvas[1]:g}; "
                "correct the point or canvas_width and canvas_height."
            )
        points.append((across * width, down * height))
    return points
