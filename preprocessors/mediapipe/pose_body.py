"""People in a picture with their hands and faces, by MediaPipe's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ground.parameters import Parameter
from ..picture import Bytes
from ..pose.draw import DRAWING
from ..pose.people import FACE, HAND, Person, Pose
from ..pose.people import Points as Joints
from ..spec import Preprocessor
from . import bodies, faces, hands
from .bodies import Body, joint
from .squares import Points, Scene
from .weights import shipped

if TYPE_CHECKING:
    import torch
    from torch import nn

NETWORKS = (
    *("pose_detection", "pose_landmark", "face_detection", "face_landmark"),
    *("hand_recrop", "hand_landmark"),
)


def pose_body(
    picture: Bytes,
    device: torch.device,
    *networks: nn.Module,
    person_threshold: float = 0.5,
    joint_threshold: float = 0.3,
    max_people: int = 20,
    detect_hands: bool = True,
    detect_face: bool = True,
) -> Pose:
    """The people in `picture` (uint8 RGB, H x W x 3), in its pixels, the surest first.

    The `networks` are those of NETWORKS, in its order; the others are the settings of SELECTION.
    Raises UserError where a network's numbers are not finite.
    """
    people, body, faces_there, mesh, palm, hand = networks
    scene = Scene(picture)
    finders = bodies.Finders(people, faces_there, body)
    found = bodies.find_bodies(scene, finders, device, person_threshold)[:max_people]
    fists: list[dict[str, hands.Hand]] = [{} for _ in found]
    if detect_hands:
        fists = hands.find_hands(scene, found, hands.Finders(palm, hand), device)
    looks: list[faces.Face | None] = [None for _ in found]
    if detect_face:
        looks = faces.faces_of(scene, found, faces.Finders(faces_there, mesh), device)
    size = (picture.shape[1], picture.shape[0])
    seen = (_person(*each, joint_threshold, size) for each in zip(found, fists, looks, strict=True))
    return Pose(tuple(one for one in seen if any(one.body)), canvas=size)


def _person(
    body: Body,
    fists: dict[str, hands.Hand],
    face: faces.Face | None,
    threshold: float,
    size: tuple[int, int],
) -> Person:
    left, right = (
        _points(hand.points, hand.score, threshold, size) if hand else (None,) * len(HAND)
        for hand in (fists.get("left"), fists.get("right"))
    )
    return Person(
        body=body.joints(threshold, size),
        left_hand=left,
        right_hand=right,
        face=_points(face.openpose, face.score, threshold, size) if face else (None,) * len(FACE),
        feet=body.feet(threshold, size),
    )


def _points(points: Points, score: float, threshold: float, size: tuple[int, int]) -> Joints:
    """A part's points, all as sure as the part is; those outside of the picture were not found."""
    return tuple(joint(point, score, threshold, size) for point in points)


SELECTION = (
    Parameter(
        "person_threshold",
        0.5,
        "How sure the detector has to be of a person; lower finds more people, and more mistakes.",
        step=0.01,
    ),
    Parameter(
        "joint_threshold",
        0.3,
        "How sure it has to be that a joint is in the picture and not hidden; joints below it and "
        "their limbs are left out.",
        step=0.01,
    ),
    Parameter("max_people", 20, "The most people that are drawn, the surest.", low=1, high=100),
    Parameter("detect_hands", True, "Find and draw the hands of each person."),
    Parameter("detect_face", True, "Find and draw the face of each person."),
)

POSE_BODY = Preprocessor(
    name="pose_body",
    node="ControlStackPoseBody",
    title="Whole Body Pose Hint",
    shows="pose",
    description=(
        "Finds people, their hands and faces with MediaPipe's networks, which ship with this pack: "
        "no download. Draws them as the coloured skeletons that the OpenPose ControlNets were "
        "trained on. Free for commercial use."
    ),
    aliases=(
        *("pose", "openpose", "dwpose", "DWPreprocessor", "dw_openpose_full", "mediapipe"),
        *("openpose_full", "openpose_hand", "openpose_face", "openpose_faceonly", "whole body"),
        *("blazepose", "skeleton", "people", "hands", "姿势", "姿态", "人体姿态", "全身姿态"),
    ),
    controls=(
        "OpenPose: control_v11p_sd15_openpose, control_sd15_openpose (style v1.0), "
        "xinsir's controlnet-openpose-sdxl-1.0 (scale_sticks)"
    ),
    # What was detected is drawn: hands and face are chosen once.
    parameters=(*SELECTION, *(p for p in DRAWING if p.name not in ("hands", "face"))),
    drawn=True,
    learning=shipped("MediaPipe Holistic", pose_body, NETWORKS, 12, finds_people=True),
)
