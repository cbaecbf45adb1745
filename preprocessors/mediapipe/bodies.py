"""People by BlazePose: found, looked at one by one, and given OpenPose's 18 joints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..learned.tensors import finite
from ..picture import Bytes
from ..pose.people import FEET, JOINTS, Joint
from ..pose.people import Points as Joints
from .detection import PEOPLE, SURE, Found, detect, look_for_faces, views
from .squares import Points, Scene, Square, batch, between

if TYPE_CHECKING:
    import torch

BLAZEPOSE = (
    "nose", "left eye (inner)", "left eye", "left eye (outer)",
    "right eye (inner)", "right eye", "right eye (outer)", "left ear", "right ear",
    "mouth (left)", "mouth (right)", "left shoulder", "right shoulder", "left elbow", "right elbow",
    "left wrist", "right wrist", "left pinky", "right pinky", "left index", "right index",
    "left thumb", "right thumb", "left hip", "right hip", "left knee", "right knee",
    "left ankle", "right ankle", "left heel", "right heel", "left foot index", "right foot index",
)  # fmt: skip
"""The network's 33 points: mediapipe/modules/pose_landmark/pose_landmark_by_roi_cpu.pbtxt."""

MIDDLE, EDGE = 33, 34
"""Two points more, which tell where the person is: AUXILIARY_LANDMARKS of that file."""

NUMBERS = 5
"""Of each of the network's points: x, y, z, visibility and presence."""

MARGIN = 1.25
"""How much larger than the person the square is: scale_x of
mediapipe/modules/pose_landmark/pose_detection_to_roi.pbtxt and pose_landmarks_to_roi.pbtxt."""

PRESENT = 0.5
"""From which presence there is a person in the square:
mediapipe/modules/pose_landmark/tensors_to_pose_landmarks_and_segmentation.pbtxt, threshold."""

LOOKS = 2
"""How often each person is looked at."""

SHOULDERS = BLAZEPOSE.index("left shoulder"), BLAZEPOSE.index("right shoulder")
"""BlazePose has no neck. As in DWPose's skeletons it is the middle of the shoulders:
dwpose/wholebody.py in https://github.com/Fannovel16/comfyui_controlnet_aux"""

_FEET = {"left big toe": "left foot index", "right big toe": "right foot index"}
"""BlazePose's name of a toe; it has no small ones, and the heels are called alike."""

BELOW, REACH = 3.5, 4.5
"""How far below a face the middle of the hips is, and how far from there the body reaches, in sides
of the face's box: the medians over 14 people that both detectors found."""

ASTRAY = 0.15
"""How far from where the detector saw the head the nose may be, as a part of the square: 0.08 or
less for most people, and more where a body was made of something else or of two people."""

TWICE = 0.06
"""Two findings are one person where their heads are this near, as a part of the smaller square."""

STRIP = 0.65
"""How much of the way to the head beside it a person may fill. Of 37 faces in nine photos of groups
35 have the pose's nose within a quarter of the face so, and 14 where neighbours are seen."""

LIKE, BESIDE = 2.0, 0.045
"""Another head is a neighbour's where its square is at most so many times larger or smaller, and
this far to the side, as a part of the square: half a face."""

SAME = 0.5
"""Two bodies are one person where the points of head and shoulders are this near on average, as a
part of what lies between nose and neck, or of half the shoulders."""

HEAD = slice(0, BLAZEPOSE.index("right shoulder") + 1)
NOSE = BLAZEPOSE.index("nose")


@dataclass(frozen=True)
class Body:
    """A person: 33 `points` in pixels (33 x 2), and how likely each is in the picture and not
    hidden (33, in 0..1). `score` is how sure it is that this is a person, in 0..1."""

    points: Points
    sure: npt.NDArray[np.float64]
    score: float

    @property
    def size(self) -> float:
        """The longer side of the box around the points, in pixels."""
        return float((self.points.max(axis=0) - self.points.min(axis=0)).max())

    def joints(self, threshold: float, inside: tuple[int, int]) -> Joints:
        """OpenPose's 18 joints: those surer than `threshold` that lie `inside` width x height."""
        points = np.vstack([self.points, self.points[list(SHOULDERS)].mean(axis=0)])
        sure = np.append(self.sure, self.sure[list(SHOULDERS)].min())
        names = (*BLAZEPOSE, "neck")
        return tuple(
            joint(points[names.index(one)], sure[names.index(one)], threshold, inside)
            for one in JOINTS
        )

    def feet(self, threshold: float, inside: tuple[int, int]) -> Joints:
        """The 6 points of FEET, the small toes of which are never found."""
        at = [_FEET.get(name, name) for name in FEET]
        return tuple(
            joint(
                self.points[BLAZEPOSE.index(name)],
                self.sure[BLAZEPOSE.index(name)],
                threshold,
                inside,
            )
            if name in BLAZEPOSE
            else None
            for name in at
        )


def joint(point: Points, sure: float, threshold: float, inside: tuple[int, int]) -> Joint | None:
    """A point as a joint; None below `threshold`, and outside of width x height."""
    x, y = (float(part) for part in point)
    if sure < threshold or not (0 <= x < inside[0] and 0 <= y < inside[1]):
        return None
    return Joint(x, y, float(sure))


@dataclass(frozen=True)
class Finders:
    """The networks that find people: detectors of people and faces, and the one of points."""

    people: Any
    faces: Any
    points: Any


def find_bodies(
    scene: Scene, finders: Finders, device: torch.device, threshold: float
) -> list[Body]:
    """The people in `scene`, the surest first; `threshold` is how sure the detector has to be.

    MediaPipe looks at the whole picture and at one person. Groups and small people are found in
    parts of it and by their faces, and people who are not upright in the picture turned.
    """
    whole, *others = views(scene)
    people = detect(scene, [whole], finders.people, PEOPLE, device, threshold)
    people += detect(scene, others, finders.people, PEOPLE, device, max(threshold, SURE))
    faces = look_for_faces(scene, finders.faces, device, max(threshold, SURE))
    return different(_bodies(scene, heads_of(people, faces), finders.points, device))


@dataclass(frozen=True)
class Head:
    """A head in pixels, and the square of its person."""

    middle: Points
    square: Square

    def is_near(self, other: Head) -> bool:
        """Whether it is the other one again."""
        least = min(self.square.side, other.square.side)
        return math.dist(self.middle, other.middle) < TWICE * least

    def beside(self, other: Head) -> float:
        """How far to the right of this one the other is, as a part of the square; 0 where it is no
        neighbour."""
        sides = self.square.side, other.square.side
        along = float((other.middle - self.middle) @ self.square.axes[0]) / self.square.side
        is_one = max(sides) <= LIKE * min(sides) and abs(along) > BESIDE
        return along if is_one else 0.0


def heads_of(people: Sequence[Found], faces: Sequence[Found]) -> list[Head]:
    """Each head once, those of faces first, which are the surer ones."""
    kept: list[Head] = []
    for head in (
        *(Head(face.middle, _below(face)) for face in faces),
        *(Head(one.middle, _square(one.points[0], one.points[1])) for one in people),
    ):
        if not any(head.is_near(other) for other in kept):
            kept.append(head)
    return kept


def _below(face: Found) -> Square:
    """Where the person of a face is."""
    eyes, mouth = face.points[:2].mean(axis=0), face.points[3]
    down = (mouth - eyes) / max(math.dist(mouth, eyes), 1e-6) * face.side
    hips = eyes + BELOW * down
    return _square(hips, hips - REACH * down)


def _square(middle: Points, edge: Points) -> Square:
    return between(middle, edge, target=90).moved(down=0, scale=MARGIN)


def _bodies(scene: Scene, heads: Sequence[Head], network: Any, device: torch.device) -> list[Body]:
    """The person at each of `heads` who is there, whose nose is where the head was seen.

    As MediaPipe's tracker does from picture to picture, the second look goes by what the first one
    saw.
    """
    sides = {id(head): [far for other in heads if (far := head.beside(other))] for head in heads}
    found = [(head, head.square) for head in heads]
    for _ in range(LOOKS):
        shown = [
            _strip(scene.seen(square, network.side), head, square, sides[id(head)])
            for head, square in found
        ]
        looks = _look(shown, [square for _, square in found], network, device)
        seen = [(head, look) for (head, _), look in zip(found, looks, strict=True) if look]
        found = [(head, square) for head, (_, square) in seen]
    return [
        body
        for head, (body, square) in seen
        if math.dist(body.points[NOSE], head.middle) < ASTRAY * square.side
    ]


def _strip(shown: Bytes, head: Head, square: Square, sides: Sequence[float]) -> Bytes:
    """`shown`, what is in `square`, with what is nearer to the heads at its `sides` hidden: the
    last column before it is repeated, as beyond a picture's edge."""
    along = ((head.middle - (square.x, square.y)) @ square.axes[0]) / square.side + 0.5
    scale = head.square.side / square.side * STRIP
    edge = shown.shape[1]
    left = max((along + far * scale for far in sides if far < 0), default=0.0)
    right = min((along + far * scale for far in sides if far > 0), default=1.0)
    first, last = (int(np.clip(round(at * edge), 0, edge - 1)) for at in (left, right))
    columns = np.arange(edge).clip(min(first, last), max(first, last))
    return np.ascontiguousarray(shown[:, columns])


def _look(
    shown: Sequence[Bytes], squares: Sequence[Square], network: Any, device: torch.device
) -> list[tuple[Body, Square] | None]:
    """The person in each of `squares`, and the square that fits better; None where nobody is."""
    if not squares:
        return []
    said = network(batch(shown, device))
    numbers, presence = (
        finite(said[name], "MediaPipe").cpu().double().numpy()[:, 0]
        for name in ("points", "presence")
    )
    return [
        _read(square, network.side, each, float(score)) if score >= PRESENT else None
        for square, each, (score,) in zip(squares, numbers, presence, strict=True)
    ]


def _read(square: Square, side: int, numbers: Any, score: float) -> tuple[Body, Square]:
    """A body of the network's numbers for what it saw at `side` x `side` pixels."""
    rows = numbers.reshape(-1, NUMBERS)
    points = square.outside(rows[:, :2] / side)
    sure = 1 / (1 + np.exp(-rows[: len(BLAZEPOSE), 3:].clip(-100, 100)))
    body = Body(points[: len(BLAZEPOSE)], sure.min(axis=1), score)
    return body, _square(points[MIDDLE], points[EDGE])


def different(bodies: Sequence[Body]) -> list[Body]:
    """`bodies` without those that are another one again, the surest first."""
    kept: list[Body] = []
    for body in sorted(bodies, key=lambda one: -one.score * one.sure.mean()):
        if not any(_alike(body, other) for other in kept):
            kept.append(body)
    return kept


def _alike(one: Body, other: Body) -> bool:
    weights = np.minimum(one.sure, other.sure)[HEAD]
    away = np.linalg.norm(one.points[HEAD] - other.points[HEAD], axis=1)
    near = float((away * weights).sum() / max(weights.sum(), 1e-6))
    return near < SAME * max(_head(one), _head(other))


def _head(body: Body) -> float:
    """The larger of the way from nose to neck and half of that between the shoulders."""
    left, right = body.points[list(SHOULDERS)]
    neck = (left + right) / 2
    return max(math.dist(body.points[NOSE], neck), math.dist(left, right) / 2)
