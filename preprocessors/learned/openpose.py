"""OpenPose: the people in a picture, their hands and faces, by CMU's networks in controlnet-aux.

The networks take BGR; the body's sees the picture 184 pixels high. Numbers and steps are those of
https://github.com/lllyasviel/ControlNet-v1-1-nightly (annotator/openpose, gradio_openpose.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ground.errors import UserError
from ...ground.parameters import Parameter
from ..opencv import opencv
from ..picture import checked_rgb
from ..pose.draw import DRAWING
from ..pose.people import Joint, Person, Pose
from ..pose.people import Points as Joints
from ..spec import Annotator, Learning, Preprocessor, Weights
from .networks import ANNOTATORS, annotators, blank, fill, load_state
from .openpose_bodies import bodies
from .openpose_maps import STRIDE, Array, reading
from .openpose_parts import Points, face_square, find_face, find_hand, hand_square

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BODY_HEIGHT = 184
"""Half of 368, the height of the network's pictures in training."""

NARROWEST = 8
"""A picture whose longer side is more than this many times its shorter one is padded: 184 pixels
high, it would be too wide for any memory."""


@dataclass(frozen=True)
class OpenPose:
    """The three networks, loaded."""

    body: nn.Module
    hand: nn.Module
    face: nn.Module

    @property
    def networks(self) -> Sequence[nn.Module]:
        """Of bodies, hands and faces."""
        return self.body, self.hand, self.face

    def __call__(
        self, picture: npt.NDArray[np.uint8], device: torch.device, **settings: Any
    ) -> Pose:
        """The people in `picture` (uint8 RGB, H x W x 3), in its pixels.

        The settings are those of DETECTION: the network of hands or faces is run only where they
        are to be detected. Raises UserError for another kind of picture, and where a network's
        numbers are not finite.
        """
        import torch

        rgb = checked_rgb(picture, "OpenPose")
        with torch.inference_mode():
            people = self._people(np.ascontiguousarray(rgb[:, :, ::-1]), device, **settings)
        return Pose(people, canvas=(rgb.shape[1], rgb.shape[0]))

    def _people(
        self,
        picture: npt.NDArray[np.uint8],
        device: torch.device,
        detect_hands: bool = True,
        detect_face: bool = True,
    ) -> tuple[Person, ...]:
        """`picture` is BGR here and below."""
        return tuple(
            self._person(picture, body, device, detect_hands, detect_face)
            for body in self._bodies(picture, device)
        )

    def _bodies(self, picture: npt.NDArray[np.uint8], device: torch.device) -> list[Points]:
        height, width = picture.shape[:2]
        roomy = _padded(picture)
        seen = BODY_HEIGHT, max(1, int(roomy.shape[1] * BODY_HEIGHT / roomy.shape[0]))
        cv2 = opencv()
        shrinks = sum(seen) < sum(roomy.shape[:2])
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
        small = cv2.resize(roomy, seen[::-1], interpolation=way)
        fields, heat = (_numbers(maps) for maps in self.body(_input(small, device)))
        read = reading(seen, (roomy.shape[0], roomy.shape[1])).top_left(height, width)
        return bodies(heat, fields, read)

    def _person(
        self,
        picture: npt.NDArray[np.uint8],
        body: Points,
        device: torch.device,
        detect_hands: bool,
        detect_face: bool,
    ) -> Person:
        def hand(part: npt.NDArray[np.uint8]) -> Array:
            return _numbers(self.hand(_input(part, device)))

        def face(part: npt.NDArray[np.uint8]) -> Array:
            return _numbers(self.face(_input(part, device))[-1])  # the last of its six stages

        parts = {"body": _joints(body)}
        for side in ("left", "right") if detect_hands else ():
            square = hand_square(body, side)
            if square is not None:
                parts[f"{side}_hand"] = _joints(find_hand(picture, square, hand))
        square = face_square(body) if detect_face else None
        if square is not None:
            parts["face"] = _joints(find_face(picture, square, face))
        return Person(**parts)


def load_openpose(paths: Sequence[Path]) -> Annotator:
    """OpenPose from its networks of bodies, hands and faces, in this order.

    Raises UserError for a file that holds another network.
    """
    models = annotators("open_pose.model")
    body, hand = (
        _filled(blank(make), path, f"OpenPose's network of {what}")
        for make, path, what in (
            (models.bodypose_model, paths[0], "bodies"),
            (models.handpose_model, paths[1], "hands"),
        )
    )
    face = blank(annotators("open_pose.face").FaceNet)
    fill(face, load_state(paths[2]), paths[2], "OpenPose's network of faces")
    return OpenPose(body, hand, face)


def _filled(network: nn.Module, path: Path, what: str) -> nn.Module:
    """`network` with the weights of a file that names its layers, and not the block of each."""
    blocks = {name.partition(".")[2]: name for name in network.state_dict()}
    state: Mapping[str, Tensor] = load_state(path)
    return fill(
        network, {blocks.get(name, name): value for name, value in state.items()}, path, what
    )


def _padded(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`picture` with its last row or column repeated until it is no narrower than NARROWEST."""
    height, width = picture.shape[:2]
    down, right = max(0, -(-width // NARROWEST) - height), max(0, -(-height // NARROWEST) - width)
    return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")


def _input(picture: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """`picture` (BGR) as 1 x 3 x H x W in -0.5..0.5, padded with 0 to multiples of STRIDE."""
    import torch

    pixels = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 256 - 0.5
    down, right = (-side % STRIDE for side in picture.shape[:2])
    return torch.nn.functional.pad(pixels, (0, right, 0, down))


def _numbers(maps: Tensor) -> Array:
    """1 x C x h x w as an array without its first side; UserError where it is not finite."""
    found: Array = maps[0].float().cpu().numpy()
    if not np.isfinite(found).all():
        raise UserError("OpenPose's network gave no finite numbers; its weights are damaged.")
    return found


def _joints(points: Points) -> Joints:
    """Pixels as joints: the middle of pixel i is i + 0.5 in the units of a canvas."""
    return tuple(None if np.isnan(x) else Joint(float(x) + 0.5, float(y) + 0.5) for x, y in points)


WEIGHTS = Weights(
    name="OpenPose",
    repo=ANNOTATORS,
    files=("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"),
    licence="CMU OpenPose, non-commercial research only",
    commercial=False,
    megabytes=510,
    sha256={
        "body_pose_model.pth": "25a948c16078b0f08e236bda51a385d855ef4c153598947c28c0d47ed94bb746",
        "hand_pose_model.pth": "b76b00d1750901abd07b9f9d8c98cc3385b8fe834a26d4b4f0aad439e75fc600",
        "facenet.pth": "8beb52e548624ffcc4aed12af7aee7dcbfaeea420c75609fee999fe7add79d43",
    },
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
    learning=Learning(models=(WEIGHTS,), load=load_openpose, any_size=True, finds_people=True),
)
