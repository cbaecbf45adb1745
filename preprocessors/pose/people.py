"""OpenPose JSON, what OpenPose writes and pose editors exchange <-> people with their joints."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...ground.errors import UserError
from ...ground.structured import read_json
from ...ground.wording import shown

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

HAND = (
    "wrist",
    *(f"{finger} {i}" for finger in ("thumb", "index", "middle", "ring", "little")
      for i in (1, 2, 3, 4)),
)  # fmt: skip
"""The 21 points of a hand, each finger from its root to its tip: keypoints_hand.png of
https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md"""

FACE = tuple(f"point {i}" for i in range(70))
"""The 70 points of a face: the 68 of iBUG's 300-W, then the two pupils, which files of 68 points
leave out: keypoints_face.png of that page."""

FEET = (
    "left big toe", "left small toe", "left heel", "right big toe", "right small toe", "right heel",
)  # fmt: skip
"""The 6 points of both feet, as BODY_25 and COCO-WholeBody order them
(https://github.com/jin-s13/COCO-WholeBody). No ControlNet was trained on hints with feet: they are
kept and given on, and not drawn."""

BODY_25_FEET = range(19, 25)

SURE = 0.3
"""From which confidence a point of a POSE_KEYPOINT wire was found: the core's SDPose gives all
points with their scores, and its SDPose Draw Keypoints leaves out those below this."""

FRACTION_LIMIT = 2.0
"""Coordinates that all lie within this are fractions of the canvas: joints may lie a little outside
it, and a pose in pixels is never two pixels large."""


@dataclass(frozen=True)
class Joint:
    """A point in its pose's canvas units, y downwards, and how sure it is, in 0..1."""

    x: float
    y: float
    confidence: float = 1.0


Points: TypeAlias = tuple[Joint | None, ...]
"""The points of a part in its published order; None where one was not found."""


@dataclass(frozen=True)
class Person:
    """One person: `body` in the order of JOINTS, hands in that of HAND, `face` in that of FACE,
    `feet` in that of FEET.

    Each part has all of its points; one that was not found has None at all of them. Left and right
    are the person's own.
    """

    body: Points = (None,) * len(JOINTS)
    left_hand: Points = (None,) * len(HAND)
    right_hand: Points = (None,) * len(HAND)
    face: Points = (None,) * len(FACE)
    feet: Points = (None,) * len(FEET)

    def __post_init__(self) -> None:
        for part in (*PARTS, FEET_PART):
            points = getattr(self, part.field)
            if len(points) != len(part.names):
                raise ValueError(f"{part.field} has {len(part.names)} points, not {len(points)}")


@dataclass(frozen=True)
class Pose:
    """The people of one frame.

    `canvas` is the width and height the file says, None where it does not: pixels are then those
    of the picture that is drawn. `fractions`: joints are parts of the canvas instead of its pixels.
    `animals`: how many animals the file has besides, which are not read.
    """

    people: tuple[Person, ...]
    canvas: tuple[float, float] | None = None
    fractions: bool = False
    animals: int = 0


@dataclass(frozen=True)
class Part:
    """A part of a Person, and how JSON holds it.

    `field` is the Person's, `key` the JSON's, `names` what errors call its points. `orders`: for
    each number of points that a file may give, where ours stand among them. `fewer`: a file may
    give less, and points at the end that it does not give were not found.
    """

    field: str
    key: str
    names: tuple[str, ...]
    orders: Mapping[int, Sequence[int]]
    fewer: bool = False


PARTS = (
    Part("body", "pose_keypoints_2d", JOINTS, {18: range(18), 25: BODY_25}),
    Part("left_hand", "hand_left_keypoints_2d",
         tuple(f"left hand {name}" for name in HAND), {21: range(21)}),
    Part("right_hand", "hand_right_keypoints_2d",
         tuple(f"right hand {name}" for name in HAND), {21: range(21)}),
    Part("face", "face_keypoints_2d",
         tuple(f"face {name}" for name in FACE), {70: range(70)}, fewer=True),
)  # fmt: skip
"""The parts that are drawn."""

FEET_PART = Part("feet", "foot_keypoints_2d", FEET, {6: range(6)})
"""As DWPose, RTMPose and the core's SDPose write them; in BODY_25 they are the body's."""


def parse_poses(
    source: str | Mapping[str, object] | list[object], sure: float = 0.0
) -> tuple[Pose, ...]:
    """OpenPose JSON, as text or parsed: one frame, or a list of frames -> a Pose each.

    A frame is `{"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}], "canvas_width": w,
    "canvas_height": h}`, where a person may also have hands, a face (PARTS) and feet; a part that
    is null, empty or left out was not found, nor was a point of confidence 0 or below `sure`.
    Coordinates are pixels of the canvas, or fractions of it where all of a frame's are within
    FRACTION_LIMIT. Or it is what older editors write (`_of_editors`). Raises UserError, naming the
    frame, person and point.
    """
    data = read_json(source, "the pose", "OpenPose JSON") if isinstance(source, str) else source
    if isinstance(data, list):
        if not data:
            raise UserError("The pose JSON is an empty list; give at least one frame.")
        return tuple(_frame(item, f"Frame {i}", sure) for i, item in enumerate(data, start=1))
    return (_frame(data, "The pose JSON", sure),)


def parse_keypoints(frames: object, sure: float = SURE) -> tuple[Pose, ...]:
    """What a POSE_KEYPOINT wire brings -> a Pose each: a list with one frame of OpenPose JSON a
    picture, as comfyui_controlnet_aux (node_wrappers/dwpose.py) and the core's SDPose
    (comfy_extras/nodes_sdpose.py) give it, where points below `sure` were not found.

    Raises UserError for anything else, and as `parse_poses` does.
    """
    if isinstance(frames, Mapping):
        frames = [frames]
    if not isinstance(frames, (list, tuple)) or not frames:
        raise UserError(
            f"The POSE_KEYPOINT wire brings {shown(frames)}; expected a list with one "
            '{"people": [...], "canvas_width": ..., "canvas_height": ...} for each picture.'
        )
    return parse_poses([_plain(frame) for frame in frames], sure)


def _plain(value: Any) -> Any:
    """A wire's value as JSON would bring it: networks' nodes leave arrays, their numbers and tuples
    in what they give."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def to_json(pose: Pose) -> dict[str, object]:
    """One frame of OpenPose JSON, which `parse_poses` reads as `pose` again.

    Bodies always have 18 points; hands and faces that were not found are empty lists, and points
    that were not found have the confidence 0. A pose in pixels that all lie within FRACTION_LIMIT
    would be read as fractions, and so is written in fractions of its canvas.
    """
    size = (1.0, 1.0)
    if pose.canvas is not None and not pose.fractions and _farthest(pose.people) <= FRACTION_LIMIT:
        size = pose.canvas
    people = [
        {
            part.key: _numbers(getattr(person, part.field), size, part)
            for part in (*PARTS, *([FEET_PART] if any(person.feet) else []))
        }
        for person in pose.people
    ]
    if pose.canvas is None:
        return {"people": people}
    # Other packs make pictures of this size, and take no fraction for a number of pixels.
    width, height = (int(side) if side == int(side) else side for side in pose.canvas)
    return {"people": people, "canvas_width": width, "canvas_height": height}


def _numbers(points: Points, size: tuple[float, float], part: Part) -> list[float]:
    if part.field != "body" and not any(points):
        return []
    return [
        number
        for point in points
        for number in (_written(point, size) if point else (0.0, 0.0, 0.0))
    ]


def _written(point: Joint, size: tuple[float, float]) -> tuple[float, float, float]:
    return point.x / size[0], point.y / size[1], point.confidence


def to_keypoints(pose: Pose) -> dict[str, object]:
    """One frame of a POSE_KEYPOINT wire: as `to_json`, with all points of each part, which the
    core's SDPose Draw Keypoints needs, and confidence 1 for what was found: nodes of
    comfyui_controlnet_aux (`decode_json_as_poses`, dwpose/__init__.py) take no other for a point.
    `pose` has a canvas and is in its pixels.
    """
    frame: dict[str, Any] = to_json(pose)
    for person in frame["people"]:
        for part in PARTS:
            person[part.key] = person[part.key] or [0.0] * (3 * len(part.names))
        for numbers in person.values():
            numbers[2::3] = [float(confidence > 0) for confidence in numbers[2::3]]
    return frame


def _frame(data: object, where: str, sure: float) -> Pose:
    if isinstance(data, Mapping) and "people" not in data and "keypoints" in data:
        data = _of_editors(data, where)
    animals = data.get("animals") if isinstance(data, Mapping) else None
    count = len(animals) if isinstance(animals, list) else 0
    if not isinstance(data, Mapping) or not isinstance(data.get("people"), list):
        if count:
            raise UserError(f"{where} has animals and no people; animals are not drawn.")
        raise UserError(
            f'{where} has no list "people", so it is no OpenPose JSON; expected '
            '{"people": [{"pose_keypoints_2d": [...]}], "canvas_width": ..., "canvas_height": ...}.'
        )
    people = tuple(
        _person(person, f"{where}, person {i},", sure)
        for i, person in enumerate(data["people"], start=1)
    )
    fractions = 0 < _farthest(people) <= FRACTION_LIMIT
    return Pose(people, _canvas(data, where), fractions, count)


def _of_editors(data: Mapping[str, Any], where: str) -> dict[str, object]:
    """`{"width": w, "height": h, "keypoints": ...}` in pixels as a frame of OpenPose JSON.

    `keypoints` is one list of [x, y] for everybody, 18 a person, as sd-webui's first editor writes
    it (https://github.com/fkunn1326/openpose-editor, javascript/main.js), or a list of such lists,
    as ComfyUI's does (https://github.com/space-nuko/ComfyUI-OpenPose-Editor, js/openpose.js).
    """
    given: list[Any] = data["keypoints"] if isinstance(data["keypoints"], list) else [None]
    points: list[Any] = given if given and _is_place(given[0]) else _chained(given)
    if len(points) % len(JOINTS) or not all(map(_is_place, points)):
        raise UserError(
            f'{where} has "keypoints" that are no people of {len(JOINTS)} points [x, y] each.'
        )
    people = [
        {"pose_keypoints_2d": [n for x, y in points[i : i + len(JOINTS)] for n in (x, y, 1)]}
        for i in range(0, len(points), len(JOINTS))
    ]
    sides = {"canvas_width": data.get("width"), "canvas_height": data.get("height")}
    return {"people": people, "animals": data.get("animals"), **sides}


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and None not in map(_number, value)


def _chained(groups: list[Any]) -> list[Any]:
    return [p for group in groups for p in (group if isinstance(group, list) else [None])]


def _farthest(people: tuple[Person, ...]) -> float:
    parts = [getattr(person, part.field) for person in people for part in (*PARTS, FEET_PART)]
    points = (point for part in parts for point in part)
    return max((max(abs(point.x), abs(point.y)) for point in points if point), default=0.0)


def _canvas(frame: Mapping[str, object], where: str) -> tuple[float, float] | None:
    given = (frame.get("canvas_width"), frame.get("canvas_height"))
    if given == (None, None):
        return None
    width, height = _number(given[0]), _number(given[1])
    if width is None or height is None or min(width, height) < 1:
        raise UserError(
            f"{where} has canvas_width {shown(given[0])} and canvas_height {shown(given[1])}; "
            "give two numbers from 1 up, or leave both out."
        )
    return width, height


def _person(data: object, where: str, sure: float) -> Person:
    parts = (*PARTS, FEET_PART)
    if not isinstance(data, Mapping) or not any(part.key in data for part in parts):
        raise UserError(f'{where} has no "pose_keypoints_2d"; give x, y, confidence.')
    numbers = {part.key: data.get(part.key) for part in parts}
    body = numbers["pose_keypoints_2d"]
    if isinstance(body, list) and len(body) == 75 and not numbers[FEET_PART.key]:
        numbers[FEET_PART.key] = body[3 * BODY_25_FEET.start :]
    return Person(*(_points(numbers[part.key], part, where, sure) for part in parts))


def _points(numbers: object, part: Part, where: str, sure: float) -> Points:
    if not numbers:
        return (None,) * len(part.names)
    if not isinstance(numbers, list):
        raise UserError(f"{where} has a {part.key} that is no list of numbers.")
    count = len(numbers) // 3
    order = part.orders.get(count)
    if part.fewer and 0 < count < len(part.names):
        order = range(count)
    if order is None or len(numbers) % 3:
        needs = " and ".join(f"{count} points need {3 * count}" for count in part.orders)
        missing = part.names[min(count, len(part.names) - 1)]
        ends = f", and ends before the {missing}" if len(numbers) < 3 * len(part.names) else ""
        if part.fewer:
            needs, ends = f"up to {needs}", ""
        raise UserError(
            f"{where} has {len(numbers)} numbers in {part.key}{ends}; {needs} "
            "(x, y and confidence each)."
        )
    given = tuple(
        _joint(numbers[3 * i : 3 * i + 3], f"{where} {name}", sure)
        for name, i in zip(part.names, order, strict=False)
    )
    return given + (None,) * (len(part.names) - len(given))


def _joint(values: list[object], where: str, sure: float) -> Joint | None:
    x, y, confidence = (_number(value) for value in values)
    if x is None or y is None or confidence is None:
        raise UserError(
            f"{where}: {reprlib.repr(values)} is not three finite numbers (x, y, confidence)."
        )
    found = confidence > 0 and confidence >= sure
    return Joint(x, y, min(confidence, 1.0)) if found else None


def _number(value: object) -> float | None:
    """`value` as a float, or None for what is no finite number (JSON's true and NaN too)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no largest
        return None
    return number if math.isfinite(number) else None
