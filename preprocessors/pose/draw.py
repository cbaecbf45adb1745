"""People -> the skeleton picture that the OpenPose ControlNets were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...ground.errors import UserError
from ...ground.parameters import Parameter, Value
from ..picture import Bytes, checked_size
from ..spec import Preprocessor
from .body import draw_blended_bodies, draw_body
from .hands_and_face import draw_face, draw_hand
from .people import PARTS, SURE, Joint, Person, Pose, parse_poses

JOINT, BONE, FACE_DOT = 4 / 512, 2 / 512, 3 / 512
"""Parts of the picture's smaller side. JOINT: the radius of a joint and half the width of a limb;
BONE: the width of a hand's line; FACE_DOT: the radius of a face's point. The annotators draw 4, 2
and 3 px on a picture of 512, their default, and resize that to the hint's size."""

REACH = 8
"""How many pictures away from the picture a joint may lie before it is taken for a mistake."""

STYLES = ("v1.1", "v1.0")

DRAWING = (
    Parameter(
        "style",
        STYLES[0],
        "v1.1 for nearly every OpenPose ControlNet: dark limbs under bright joints. v1.0 for the "
        "first one (control_sd15_openpose): limbs blended over the joints.",
        choices=STYLES,
    ),
    Parameter("body", True, "Draw the body's limbs and joints."),
    Parameter("hands", True, "Draw the hands, where the pose has them."),
    Parameter("face", True, "Draw the face's points, where the pose has them."),
    Parameter(
        "scale_sticks",
        False,
        "Thicker limbs and joints on large pictures, for xinsir's OpenPose and union ControlNets "
        "of SDXL.",
    ),
)
"""How people are drawn: settings of every preprocessor that draws them."""

CONFIDENCE = Parameter(
    "confidence_threshold",
    0.0,
    "Points below this confidence are left out. 0 draws all points of a text, and of a wire those "
    f"from {SURE}, which is what DWPose and the core's SDPose use.",
    step=0.01,
)
"""Which points count as found. It is a matter of reading a pose, not of drawing it."""


def least_confidence(settings: Mapping[str, Value]) -> float:
    """The confidence from which `settings` take a pose's points, 0 where they do not say."""
    return float(settings.get(CONFIDENCE.name, CONFIDENCE.default))


def draw_pose(
    pose: Pose | Mapping[str, object],
    width: int,
    height: int,
    *,
    style: str = STYLES[0],
    body: bool = True,
    hands: bool = True,
    face: bool = True,
    scale_sticks: bool = False,
    confidence_threshold: float = 0.0,
) -> Bytes:
    """The skeletons of one frame on black: uint8 RGB, height x width x 3, stretched to that size.

    A frame of OpenPose JSON may be given as it is: of it points below `confidence_threshold` are
    left out, while a Pose holds what was found. The settings are those of DRAWING. Raises UserError
    for a size that `checked_size` refuses, and for a point more than REACH pictures away.
    """
    checked_size(width, height, "The picture of a pose")
    frame = pose if isinstance(pose, Pose) else parse_poses(pose, confidence_threshold)[0]
    extent = (1.0, 1.0) if frame.fractions else frame.canvas or (width, height)
    people = [
        _in_pixels(person, extent, width, height, number)
        for number, person in enumerate(frame.people, start=1)
    ]
    picture = np.zeros((height, width, 3), np.uint8)
    joint, bone, dot = (pixels_of(part, width, height) for part in (JOINT, BONE, FACE_DOT))
    stick = _scaled_stick(width, height) if scale_sticks else joint
    if body and style == "v1.0":
        draw_blended_bodies(picture, [person.body for person in people], stick)
    for person in people:
        if body and style != "v1.0":
            draw_body(picture, person.body, stick)
        if hands:
            draw_hand(picture, person.left_hand, joint, bone)
            draw_hand(picture, person.right_hand, joint, bone)
        if face:
            draw_face(picture, person.face, dot)
    return picture


def pixels_of(part: float, width: int, height: int) -> int:
    """A `part` of the picture's smaller side in whole pixels, one at least."""
    return max(1, int(part * min(width, height) + 0.5))


def _scaled_stick(width: int, height: int) -> int:
    """The radius of joints, and half the width of limbs, as xinsir's ControlNets saw them.

    In pixels of the hint, whatever its size, by the drawing that its card publishes:
    https://huggingface.co/xinsir/controlnet-openpose-sdxl-1.0. `scale_stick_for_xinsr_cn` of
    comfyui_controlnet_aux leaves the joints at 4.
    """
    longer = max(width, height)
    return 4 if longer < 500 else 4 * min(2 + longer // 1000, 7)


def _in_pixels(
    person: Person, extent: tuple[float, float], width: int, height: int, number: int
) -> Person:
    """`person`, whose points are parts of `extent`, in pixels of a width x height picture."""
    moved = {
        part.field: tuple(
            point and _moved(point, extent, width, height, f"Person {number}'s {name}")
            for name, point in zip(part.names, getattr(person, part.field), strict=True)
        )
        for part in PARTS
    }
    return Person(**moved)


def _moved(point: Joint, extent: tuple[float, float], width: int, height: int, whose: str) -> Joint:
    if max(abs(point.x / extent[0]), abs(point.y / extent[1])) > REACH:
        raise UserError(
            f"{whose} lies at ({point.x:g}, {point.y:g}), far outside the canvas of {extent[0]:g} "
            f"x {extent[1]:g}; correct the point or canvas_width and canvas_height."
        )
    # One factor, not a fraction first: whole pixels of a canvas of the picture's size stay whole.
    return replace(point, x=point.x * (width / extent[0]), y=point.y * (height / extent[1]))


POSE = Preprocessor(
    name="pose",
    node="ControlStackDrawPose",
    title="Draw Pose Hint",
    shows="pose",
    description=(
        "Draws the people of an OpenPose JSON, their hands and faces too, as the coloured "
        "skeletons that the OpenPose ControlNets were trained on. It finds no people in a picture. "
        "A list of frames becomes a batch."
    ),
    aliases=(
        *("openpose", "pose", "skeleton", "keypoints", "stick figure", "dwpose", "openpose_full"),
        *("openpose_hand", "openpose_face", "openpose editor", "pose json"),
        *("RenderPeopleKps", "Render Pose JSON (Human)", "姿势", "姿态", "骨骼图"),
    ),
    controls=(
        "OpenPose: control_v11p_sd15_openpose, control_sd15_openpose (style v1.0), "
        "OpenPoseXL2, xinsir's controlnet-openpose-sdxl-1.0 (scale_sticks)"
    ),
    parameters=(*DRAWING, CONFIDENCE),
    added=(CONFIDENCE.name,),
    takes="pose",
    drawn=True,
    run=draw_pose,
)
