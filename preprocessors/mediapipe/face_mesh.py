"""Faces drawn as ControlNetMediaPipeFace was trained on them: outlines in colours, on black.

Colours, what is drawn and how small a face may be are those of laion_face_common.py in
https://huggingface.co/CrucibleAI/ControlNetMediaPipeFace, the points of each outline those of
mediapipe/python/solutions/face_mesh_connections.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ...ground.parameters import Parameter
from ..opencv import opencv
from ..picture import MAX_EDGE, Bytes
from ..pose.draw import pixels_of
from ..spec import Preprocessor
from .faces import EYES, Face, Finders, find_faces
from .squares import Points, Scene
from .weights import shipped

if TYPE_CHECKING:
    import torch
    from torch import nn

LINE, PUPIL = 2 / 512, 2 / 512
"""Parts of the picture's smaller side: the width of a line, and half the side of a pupil. The
annotator draws 2 pixels on pictures of 512."""

Line = tuple[int, ...]

OVAL: Line = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10,
)  # fmt: skip
LEFT_EYE: Line = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263,
)  # fmt: skip
RIGHT_EYE: Line = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
LEFT_BROW: tuple[Line, ...] = ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336))
RIGHT_BROW: tuple[Line, ...] = ((46, 53, 52, 65, 55), (70, 63, 105, 66, 107))
LIPS: tuple[Line, ...] = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78),
)

OUTLINES = (
    ((OVAL,), (10, 200, 10)),
    ((LEFT_EYE,), (10, 200, 180)),
    (LEFT_BROW, (10, 220, 180)),
    ((RIGHT_EYE,), (180, 200, 10)),
    (RIGHT_BROW, (180, 220, 10)),
    (LIPS, (10, 180, 10)),
)
"""In drawing order, with their colours, RGB: the annotator draws BGR and turns the picture round.
Left and right are the person's own."""

PUPILS = (250, 200, 10), (10, 200, 250)
"""The colours, RGB, of the right and of the left one, in drawing order."""


def mediapipe_face(
    picture: Bytes,
    device: torch.device,
    *networks: nn.Module,
    face_threshold: float = 0.5,
    max_faces: int = 10,
    min_face_size: int = 64,
) -> Bytes:
    """The faces in `picture` (uint8 RGB, H x W x 3), drawn on black, of the same size.

    The `networks` are those of NETWORKS, in its order; the others are the settings of SELECTION.
    Raises UserError where a network's numbers are not finite.
    """
    found = find_faces(Scene(picture), Finders(*networks), device, face_threshold)
    drawn = np.zeros_like(picture)
    # Those that are too small do not count among the most that there may be.
    for face in [face for face in found if _size(face) >= min_face_size][:max_faces]:
        draw_mesh(drawn, face)
    return drawn


def draw_mesh(picture: Bytes, face: Face) -> None:
    """Draw a face's outlines and pupils, in pixels of `picture` (uint8 RGB).

    The mesh has no pupils: a square in the middle of each eye stands for them, so that the face
    looks ahead.
    """
    height, width = picture.shape[:2]
    thickness = pixels_of(LINE, width, height)
    points = [_pixel(point, width, height) for point in face.points]
    for lines, colour in OUTLINES:
        for line in lines:
            for start, end in pairwise(line):
                a, b = points[start], points[end]
                if a is not None and b is not None:
                    opencv().line(picture, a, b, colour, thickness)
    half = pixels_of(PUPIL, width, height)
    for eye, colour in zip(EYES, PUPILS, strict=True):
        middle = _pixel(face.openpose[eye].mean(axis=0), width, height)
        if middle is not None:
            across, down = middle
            picture[max(down - half, 0) : down + half, max(across - half, 0) : across + half] = (
                colour
            )


def _pixel(point: Points, width: int, height: int) -> tuple[int, int] | None:
    """Where to draw a point; None outside of the picture."""
    across, down = (int(np.floor(part)) for part in point)
    return (across, down) if 0 <= across < width and 0 <= down < height else None


def _size(face: Face) -> float:
    """The shorter side of the box around a face, in pixels."""
    return float((face.points.max(axis=0) - face.points.min(axis=0)).min())


NETWORKS = ("face_detection", "face_landmark")

SELECTION = (
    Parameter(
        "face_threshold",
        0.5,
        "How sure the detector has to be of a face; lower finds more faces, and more mistakes.",
        step=0.01,
    ),
    Parameter("max_faces", 10, "The most faces that are drawn, the surest.", low=1, high=100),
    Parameter(
        "min_face_size",
        64,
        "In pixels: smaller faces are left out, as they were in training.",
        low=0,
        high=MAX_EDGE,
    ),
)

MEDIAPIPE_FACE = Preprocessor(
    name="mediapipe_face",
    node="ControlStackMediapipeFace",
    title="MediaPipe Face Hint",
    shows="edges",
    description=(
        "Finds faces with MediaPipe's networks, which ship with this pack: no download. Draws "
        "their outlines, eyes, brows and lips in the colours that ControlNetMediaPipeFace was "
        "trained on. Free for commercial use."
    ),
    aliases=(
        *("face", "face mesh", "mediapipe", "MediaPipe-FaceMeshPreprocessor", "mediapipe_face"),
        *("facemesh", "laion face", "人脸", "面部网格"),
    ),
    controls=(
        "Face: control_v2p_sd15_mediapipe_face, control_v2p_sd21_mediapipe_face "
        "(ControlNetMediaPipeFace)"
    ),
    parameters=SELECTION,
    drawn=True,
    learning=shipped("MediaPipe Face", mediapipe_face, NETWORKS, 1),
)
