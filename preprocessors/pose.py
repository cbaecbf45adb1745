"""OpenPose JSON -> the skeleton picture that the OpenPose ControlNets were trained on.

Reads what OpenPose writes and pose editors exchange. Finds nobody in a photograph (a learned
detector's work) and draws no hands or faces yet.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .opencv import opencv

JOINTS = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
"""The 18 joints of OpenPose's COCO model, in its order: `POSE_COCO_BODY_PARTS`,
https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/v1.2.0/include/openpose/pose/poseParameters.hpp"""

BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Where each of JOINTS stands among BODY_25's joints, which add a middle hip (8) and feet (19-24):
https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md"""

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

FRACTION_LIMIT = 2.0
"""Coordinates that all lie within this are fractions of the canvas: joints may lie a little outside
it, and a pose in pixels is never two pixels large."""

REACH = 8
"""How many pictures away from the picture a joint may lie before it is taken for a mistake."""

MAX_SIDE = 16384
"""The largest side that ComfyUI's own nodes offer."""


@dataclass(frozen=True)
class Joint:
    """A point in its pose's canvas units, y downwards."""

    x: float
    y: float


Person: TypeAlias = tuple[Joint | None, ...]
"""18 joints in the order of JOINTS; None where one was not found."""


@dataclass(frozen=True)
class Pose:
    """The people of one frame.

    `canvas` is the width and height the file says, None where it does not: pixels are then those
    of the picture that is drawn. `fractions`: joints are parts of the canvas instead of its pixels.
    """

    people: tuple[Person, ...]
    canvas: tuple[float, float] | None = None
    fractions: bool = False


def parse_poses(source: str | Mapping[str, object] | list[object]) -> tuple[Pose, ...]:
    """OpenPose JSON, as text or parsed: one frame, or a list of frames -> a Pose each.

    A frame is `{"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}], "canvas_width": w,
    "canvas_height": h}` with 18 (COCO) or 25 (BODY_25) joints a person; confidence 0 means that a
    joint was not found. Coordinates are pixels of the canvas, or fractions of it where all of a
    frame's are within FRACTION_LIMIT. Raises UserError, naming the frame, person and joint.
    """
    data = _decode(source) if isinstance(source, str) else source
    if isinstance(data, list):
        if not data:
            raise UserError("The pose JSON is an empty list; give at least one frame.")
        return tuple(_frame(item, f"Frame {i}") for i, item in enumerate(data, start=1))
    return (_frame(data, "The pose JSON"),)


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
    frame = pose if isinstance(pose, Pose) else _frame(pose, "The pose")
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
    for name, joint in zip(JOINTS, person, strict=True):
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


def _decode(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"The pose is not JSON ({error}); paste an OpenPose JSON file.") from error


def _frame(data: object, where: str) -> Pose:
    if not isinstance(data, Mapping) or not isinstance(data.get("people"), list):
        raise UserError(
            f'{where} has no list "people", so it is no OpenPose JSON; expected '
            '{"people": [{"pose_keypoints_2d": [...]}], "canvas_width": ..., "canvas_height": ...}.'
        )
    people = tuple(
        _person(person, f"{where}, person {i},") for i, person in enumerate(data["people"], start=1)
    )
    found = [joint for person in people for joint in person if joint]
    farthest = max((max(abs(joint.x), abs(joint.y)) for joint in found), default=0.0)
    return Pose(people, _canvas(data, where), fractions=farthest <= FRACTION_LIMIT)


def _canvas(frame: Mapping[str, object], where: str) -> tuple[float, float] | None:
    given = (frame.get("canvas_width"), frame.get("canvas_height"))
    if given == (None, None):
        return None
    width, height = _number(given[0]), _number(given[1])
    if width is None or height is None or min(width, height) <= 0:
        raise UserError(
            f"{where} has canvas_width {given[0]!r} and canvas_height {given[1]!r}; "
            "give two numbers above 0, or leave both out."
        )
    return width, height


def _person(data: object, where: str) -> Person:
    if not isinstance(data, Mapping) or "pose_keypoints_2d" not in data:
        raise UserError(f'{where} has no "pose_keypoints_2d"; give x, y, confidence.')
    numbers = data["pose_keypoints_2d"] or []  # null or empty: hands or a face without a body
    if not isinstance(numbers, list):
        raise UserError(f"{where} has a pose_keypoints_2d that is no list of numbers.")
    order = {0: (), 18 * 3: range(18), 25 * 3: BODY_25}.get(len(numbers))
    if order is None:
        raise UserError(
            f"{where} has {len(numbers)} numbers in pose_keypoints_2d, but 18 joints "
            "need 54 and BODY_25 needs 75 (x, y and confidence each)."
        )
    if not order:
        return (None,) * len(JOINTS)
    return tuple(
        _joint(numbers[3 * i : 3 * i + 3], f"{where} {name}")
        for name, i in zip(JOINTS, order, strict=True)
    )


def _joint(values: list[object], where: str) -> Joint | None:
    x, y, confidence = (_number(value) for value in values)
    if x is None or y is None or confidence is None:
        raise UserError(
            f"{where}: {reprlib.repr(values)} is not three finite numbers (x, y, confidence)."
        )
    return Joint(x, y) if confidence > 0 else None


def _number(value: object) -> float | None:
    """`value` as a float, or None for what is no finite number (JSON's true and NaN too)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no largest
        return None
    return number if math.isfinite(number) else None
