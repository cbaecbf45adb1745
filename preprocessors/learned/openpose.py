"""OpenPose: the people in a picture, their hands and faces, by CMU's networks in controlnet-aux.

The networks take BGR; the body's sees the picture 184 pixels high. Numbers and steps are those of
https://github.com/lllyasviel/ControlNet-v1-1-nightly (annotator/openpose, gradio_openpose.py).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...ground.parameters import Parameter
from ..opencv import opencv
from ..picture import Bytes
from ..pose.draw import DRAWING
from ..pose.people import Joint, Person, Pose
from ..pose.people import Points as Joints
from ..spec import Preprocessor
from .narrow import widened
from .networks import Network, learned, published_files
from .openpose_bodies import bodies
from .openpose_maps import STRIDE, Array, reading
from .openpose_parts import Points, face_square, find_face, find_hand, hand_square
from .tensors import finite

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BODY_HEIGHT = 184
"""Half of 368, the height of the network's pictures in training."""


def openpose(
    picture: Bytes,
    device: torch.device,
    *networks: nn.Module,
    detect_hands: bool = True,
    detect_face: bool = True,
) -> Pose:
    """The people in `picture` (uint8 RGB, H x W x 3), in its pixels.

    The `networks` are those of bodies, hands and faces; the last two are run only where hands or
    faces are to be detected. Raises UserError where a network's numbers are not finite.
    """
    body, hand, face = networks
    bgr = np.ascontiguousarray(picture[:, :, ::-1])
    people = (
        _person(bgr, points, device, hand if detect_hands else None, face if detect_face else None)
        for points in _bodies(bgr, device, body)
    )
    return Pose(tuple(people), canvas=(picture.shape[1], picture.shape[0]))


def _bodies(picture: Bytes, device: torch.device, network: nn.Module) -> list[Points]:
    """`picture` is BGR here and below."""
    height, width = picture.shape[:2]
    # 184 pixels high, a very flat one would be too wide for any memory.
    roomy = widened(picture, least=1)
    seen = BODY_HEIGHT, max(1, int(roomy.shape[1] * BODY_HEIGHT / roomy.shape[0]))
    cv2 = opencv()
    shrinks = sum(seen) < sum(roomy.shape[:2])
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    small = cv2.resize(roomy, seen[::-1], interpolation=way)
    fields, heat = (_numbers(maps) for maps in network(_input(small, device)))
    read = reading(seen, (roomy.shape[0], roomy.shape[1])).top_left(height, width)
    return bodies(heat, fields, read)


def _person(
    picture: Bytes,
    body: Points,
    device: torch.device,
    hand: nn.Module | None,
    face: nn.Module | None,
) -> Person:
    parts = {"body": _joints(body)}
    if hand is not None:
        maps = partial(_hand_maps, network=hand, device=device)
        for whose in ("left", "right"):
            if (square := hand_square(body, whose)) is not None:
                parts[f"{whose}_hand"] = _joints(find_hand(picture, square, maps))
    if face is not None and (square := face_square(body)) is not None:
        maps = partial(_face_maps, network=face, device=device)
        parts["face"] = _joints(find_face(picture, square, maps))
    return Person(**parts)


def _hand_maps(part: Bytes, network: nn.Module, device: torch.device) -> Array:
    return _numbers(network(_input(part, device)))


def _face_maps(part: Bytes, network: nn.Module, device: torch.device) -> Array:
    return _numbers(network(_input(part, device))[-1])  # the last of its six stages


def _input(picture: Bytes, device: torch.device) -> Tensor:
    """`picture` (BGR) as 1 x 3 x H x W in -0.5..0.5, padded with 0 to multiples of STRIDE."""
    import torch

    pixels = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 256 - 0.5
    down, right = (-side % STRIDE for side in picture.shape[:2])
    return torch.nn.functional.pad(pixels, (0, right, 0, down))


def _numbers(maps: Tensor) -> Array:
    """1 x C x h x w as an array without its first side; UserError where it is not finite."""
    found: Array = finite(maps[0], "OpenPose").float().cpu().numpy()
    return found


def _joints(points: Points) -> Joints:
    """Pixels as joints: the middle of pixel i is i + 0.5 in the units of a canvas."""
    return tuple(None if np.isnan(x) else Joint(float(x) + 0.5, float(y) + 0.5) for x, y in points)


_WEIGHTS = published_files(
    "OpenPose",
    {
        "body_pose_model.pth": "25a948c16078b0f08e236bda51a385d855ef4c153598947c28c0d47ed94bb746",
        "hand_pose_model.pth": "b76b00d1750901abd07b9f9d8c98cc3385b8fe834a26d4b4f0aad439e75fc600",
        "facenet.pth": "8beb52e548624ffcc4aed12af7aee7dcbfaeea420c75609fee999fe7add79d43",
    },
    "CMU OpenPose, non-commercial research only",
    510,
    commercial=False,
)

_MODEL = "open_pose.model"
_NETWORKS = (
    Network(
        *("OpenPose's network of bodies", "Mconv7_stage6_L1.weight"),
        *(_MODEL, lambda aux: aux.bodypose_model()),
    ),
    Network(
        *("OpenPose's network of hands", "Mconv7_stage6.weight"),
        *(_MODEL, lambda aux: aux.handpose_model()),
    ),
    Network(
        *("OpenPose's network of faces", "Mconv7_stage6.weight"),
        *("open_pose.face", lambda aux: aux.FaceNet()),
    ),
)

DETECTION = (
    Parameter(
        "detect_hands",
        True,
        "Find and draw the hands of each person; by far the longest part without a GPU.",
    ),
    Parameter("detect_face", True, "Find and draw the face of each person."),
)

OPENPOSE = Preprocessor(
    name="pose_openpose",
    node="ControlStackPoseOpenpose",
    title="OpenPose Hint",
    shows="pose",
    description=(
        "Finds people, their hands and faces with the OpenPose networks and draws them as the "
        "coloured skeletons that the OpenPose ControlNets were trained on. "
        "CMU's licence: not for commercial use."
    ),
    aliases=(
        *("openpose", "pose", "skeleton", "people", "OpenposePreprocessor", "openpose_full"),
        *("openpose_hand", "openpose_face", "openpose_faceonly", "姿势", "姿态", "人体姿态"),
    ),
    controls=(
        "OpenPose: control_v11p_sd15_openpose, control_sd15_openpose (style v1.0), "
        "xinsir's controlnet-openpose-sdxl-1.0 (scale_sticks)"
    ),
    # What was detected is drawn: hands and face are chosen once.
    parameters=(*DETECTION, *(p for p in DRAWING if p.name not in ("hands", "face"))),
    drawn=True,
    learning=learned("OpenPose", openpose, _WEIGHTS, *_NETWORKS, finds_people=True),
)
