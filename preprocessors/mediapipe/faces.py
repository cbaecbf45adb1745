"""Faces by MediaPipe: a mesh of 468 points, of which OpenPose's 70 are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..learned.tensors import finite
from .bodies import BLAZEPOSE, Body
from .detection import FACES, Found, detect, look_for_faces
from .squares import Points, Scene, Square, batch, twice, upright

if TYPE_CHECKING:
    import torch

PRESENT = 0.5
"""From which presence there is a face: mediapipe/modules/face_landmark/face_landmark_cpu.pbtxt."""

DETECTED = 0.5
"""min_score_thresh of mediapipe/modules/face_detection/face_detection_short_range.pbtxt."""

AROUND = 3.0
"""scale_x of mediapipe/modules/holistic_landmark/face_landmarks_from_pose_to_recrop_roi.pbtxt."""

TOWARDS, LARGER = -0.1, 2.0
"""shift_y and scale_x of
mediapipe/modules/holistic_landmark/face_detection_front_detections_to_roi.pbtxt."""

AGAIN = 1.5
"""scale_x of mediapipe/modules/face_landmark/face_landmark_landmarks_to_roi.pbtxt."""

NUMBERS = 3
"""Of each of the network's points: x, y and z."""

OUTER = 33, 263
"""The outer corners of the right and the left eye in the mesh, which are to lie level."""

IBUG = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips, outside
    78, 82, 13, 312, 308, 317, 14, 87,  # lips, inside
)  # fmt: skip
"""The mesh's points nearest to the 68 of iBUG's 300-W, by
mediapipe/modules/face_geometry/data/canonical_face_model_uv_visualization.png;
https://github.com/PeizhiYan/Mediapipe_2_Dlib_Landmarks has the same, where it takes one point."""

EYES = slice(36, 42), slice(42, 48)
"""Of the right and of the left eye among the 68. OpenPose's last two points are the pupils; the
mesh has none, and what is drawn is the middle of the eye: a face that looks ahead."""


@dataclass(frozen=True)
class Face:
    """A face's mesh of 468 `points` in pixels (468 x 2), and how sure it is that this is a face, in
    0..1."""

    points: Points
    score: float

    @property
    def openpose(self) -> Points:
        """OpenPose's 70 points (70 x 2)."""
        found = self.points[list(IBUG)]
        return np.vstack([found, *(found[eye].mean(axis=0) for eye in EYES)])


@dataclass(frozen=True)
class Finders:
    """The networks of faces: the detector, and the one of the mesh."""

    faces: Any
    points: Any


def find_faces(
    scene: Scene, finders: Finders, device: torch.device, threshold: float
) -> list[Face]:
    """The faces in `scene`, the surest first; `threshold` is how sure the detector has to be."""
    found = look_for_faces(scene, finders.faces, device, threshold)
    squares = [of_detection(face) for face in found]
    meshes = look_twice(scene, squares, finders.points, device)
    return [face for face in meshes if face is not None]


def faces_of(
    scene: Scene, bodies: Sequence[Body], finders: Finders, device: torch.device
) -> list[Face | None]:
    """The face of each of `bodies`: mediapipe/modules/holistic_landmark/
    face_landmarks_from_pose_cpu.pbtxt. Of several in the square, the one nearest to the nose."""
    asked: list[tuple[int, Square]] = []
    for number, body in enumerate(bodies):
        nose = body.points[BLAZEPOSE.index("nose")]
        found = detect(scene, [_of_body(body)], finders.faces, FACES, device, DETECTED)
        if found:
            nearest = min(found, key=lambda one: float(np.linalg.norm(one.points[2] - nose)))
            asked.append((number, of_detection(nearest)))
    meshes = look_twice(scene, [square for _, square in asked], finders.points, device)
    by_body = dict(zip((number for number, _ in asked), meshes, strict=True))
    return [by_body.get(number) for number in range(len(bodies))]


def of_detection(face: Found) -> Square:
    """The square of a face by the detector's points."""
    right, left = face.points[:2]
    return upright(face.points, right, left, target=0).moved(TOWARDS, LARGER)


def _of_body(body: Body) -> Square:
    """Where the detector looks for a face, by the pose's points of it."""
    right, left = (body.points[BLAZEPOSE.index(f"{whose} eye")] for whose in ("right", "left"))
    points = body.points[: BLAZEPOSE.index("mouth (right)") + 1]
    return upright(points, right, left, target=0).moved(0, AROUND)


def look_twice(
    scene: Scene, squares: Sequence[Square], network: Any, device: torch.device
) -> list[Face | None]:
    """The face in each square."""
    return twice(lambda at: _look(scene, at, network, device), squares, _again)


def _again(face: Face) -> Square:
    right, left = face.points[list(OUTER)]
    return upright(face.points, right, left, target=0).moved(0, AGAIN)


def _look(
    scene: Scene, squares: Sequence[Square], network: Any, device: torch.device
) -> list[Face | None]:
    if not squares:
        return []
    said = network(batch([scene.seen(one, network.side) for one in squares], device))
    numbers, presence = (
        finite(said[name], "MediaPipe").cpu().double().numpy()[:, 0]
        for name in ("points", "presence")
    )
    likely = 1 / (1 + np.exp(-presence[:, 0].clip(-100, 100)))
    return [
        Face(square.outside(each.reshape(-1, NUMBERS)[:, :2] / network.side), float(score))
        if score >= PRESENT
        else None
        for square, each, score in zip(squares, numbers, likely, strict=True)
    ]
