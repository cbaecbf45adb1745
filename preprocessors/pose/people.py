"""OpenPose JSON, what OpenPose writes and pose editors exchange -> people with their joints."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ...errors import UserError

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

FRACTION_LIMIT = 2.0
"""Coordinates that all lie within this are fractions of the canvas: joints may lie a little outside
it, and a pose in pixels is never two pixels large."""


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
