"""Make a hint: edges of a picture, a skeleton from pose JSON, depth by a local model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import UserError
from ..preprocessors import canny, picture
from ..preprocessors.learned import depth, depth_folder
from ..preprocessors.pose import draw, people
from . import host

CATEGORY = "ControlStack/hints"

STANDING = {
    "people": [
        {
            "pose_keypoints_2d": [
                *(0.50, 0.14, 1, 0.50, 0.27, 1),  # nose, neck
                *(0.41, 0.27, 1, 0.35, 0.40, 1, 0.32, 0.52, 1),  # right arm
                *(0.59, 0.27, 1, 0.65, 0.40, 1, 0.68, 0.52, 1),  # left arm
                *(0.45, 0.53, 1, 0.44, 0.72, 1, 0.43, 0.90, 1),  # right leg
                *(0.55, 0.53, 1, 0.56, 0.72, 1, 0.57, 0.90, 1),  # left leg
                *(0.48, 0.12, 1, 0.52, 0.12, 1, 0.45, 0.13, 1, 0.55, 0.13, 1),  # eyes, ears
            ]
        }
    ]
}
"""A person to begin with, in fractions of the canvas."""


class ControlStackCanny:
    """Pictures -> their edges."""

    DESCRIPTION = (
        "Finds edges, white on black, with OpenCV on the colour picture: what the Canny "
        "ControlNets were trained on. ComfyUI's own Canny node finds other edges."
    )
    SEARCH_ALIASES = (
        *("canny", "edges", "edge detection", "outline", "preprocessor", "annotator"),
        *("边缘检测", "预处理器"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "find_edges"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("hint",)
    OUTPUT_TOOLTIPS = ("The edges, for Add Control with a Canny ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's input and widgets."""
        threshold = {"min": 0, "max": canny.LIMIT, "step": 1}
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "The picture or pictures to find edges in."}),
                "low_threshold": (
                    "INT",
                    {
                        "default": canny.LOW,
                        **threshold,
                        "tooltip": "How strong an edge must be to go on. Lower gives longer lines.",
                    },
                ),
                "high_threshold": (
                    "INT",
                    {
                        "default": canny.HIGH,
                        **threshold,
                        "tooltip": "How strong an edge must be to begin. Lower finds more edges.",
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, low_threshold: int | None = None, high_threshold: int | None = None
    ) -> bool | str:
        """Whether the thresholds are in range and order; None where one comes through a link."""
        low = 0 if low_threshold is None else low_threshold
        high = canny.LIMIT if high_threshold is None else high_threshold
        return _accepted(lambda: canny.check_thresholds(low, high))

    def find_edges(self, image: Tensor, low_threshold: int, high_threshold: int) -> tuple[Tensor]:
        """(B, H, W, 3) in 0..1 -> the same size, 0 or 1."""
        edges = [canny.canny(picture, low_threshold, high_threshold) for picture in _bytes(image)]
        return (_image(edges),)


class ControlStackDrawPose:
    """OpenPose JSON -> skeletons."""

    DESCRIPTION = (
        "Draws the people of an OpenPose JSON as the coloured skeletons that the OpenPose "
        "ControlNets were trained on. It finds no people in a picture. A list of frames becomes a "
        "batch."
    )
    SEARCH_ALIASES = (
        *("openpose", "pose", "skeleton", "keypoints", "stick figure", "姿势", "姿态", "骨骼图"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "draw"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("hint",)
    OUTPUT_TOOLTIPS = ("The skeletons, for Add Control with an OpenPose ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's widgets."""
        side = {"default": 512, "min": 16, "max": picture.MAX_SIDE, "step": 8}
        return {
            "required": {
                "pose_json": (
                    "STRING",
                    {
                        "default": json.dumps(STANDING),
                        "multiline": True,
                        "tooltip": "OpenPose JSON, as pose editors export it: people with "
                        "pose_keypoints_2d (x, y, confidence for each of 18 or 25 joints), "
                        "canvas_width, canvas_height.",
                    },
                ),
                "width": ("INT", {**side, "tooltip": "In pixels: best that of your picture."}),
                "height": ("INT", {**side, "tooltip": "In pixels: best that of your picture."}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, pose_json: str | None = None) -> bool | str:
        """Whether the JSON holds poses; None where it comes through a link."""
        return pose_json is None or _accepted(lambda: people.parse_poses(pose_json))

    def draw(self, pose_json: str, width: int, height: int) -> tuple[Tensor]:
        """One picture a frame: (B, height, width, 3) in 0..1."""
        frames = people.parse_poses(pose_json)
        return (_image([draw.draw_pose(frame, width, height) for frame in frames]),)


class ControlStackDepth:
    """Pictures -> how near their points are."""

    DESCRIPTION = (
        "Estimates depth, near is white, with a depth model from a folder of yours: DPT, Depth "
        "Anything, ZoeDepth or Depth Pro. Nothing is downloaded."
    )
    SEARCH_ALIASES = (
        *("depth map", "depth estimation", "depth anything", "midas", "dpt", "zoedepth"),
        *("preprocessor", "annotator", "深度图", "深度估计", "预处理器"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "estimate"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("hint",)
    OUTPUT_TOOLTIPS = ("The depth, for Add Control with a depth ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's input and widget."""
        tooltip = (
            "A folder in models/depth with config.json, preprocessor_config.json and "
            "model.safetensors, as Hugging Face's model pages offer them. It stays loaded."
        )
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "The picture or pictures to estimate."}),
                "model": (host.names("depth"), {"tooltip": tooltip}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None = None) -> bool | str:
        """Whether the folder is there and whole, no weights are loaded; None comes by a link."""
        if model is None:
            return True
        return _accepted(
            lambda: depth_folder.check_depth_model(host.current().find("depth", model))
        )

    def estimate(self, image: Tensor, model: str) -> tuple[Tensor]:
        """(B, H, W, 3) in 0..1 -> the same size, 0 far to 1 near, three equal channels."""
        loaded = depth.load_depth_model(host.current().find("depth", model))
        near = [depth.estimate_depth(picture, loaded) for picture in _bytes(image)]
        return (torch.from_numpy(np.stack(near))[..., None].repeat(1, 1, 1, 3),)


def _accepted(check: Callable[[], object]) -> bool | str:
    """True, or the sentence of the UserError that `check` raised: what VALIDATE_INPUTS returns."""
    try:
        check()
    except UserError as error:
        return str(error)
    return True


def _bytes(image: Tensor) -> npt.NDArray[np.uint8]:
    """IMAGE (B, H, W, C) in 0..1 -> uint8 RGB, rounded and clipped; B x H x W x 3.

    Rounding gives a loaded picture its own bytes again, as ComfyUI's cutting off does too, and does
    not darken what was computed. Grey is repeated, alpha left out, and not-a-number black.
    """
    if image.ndim != 4 or image.shape[3] not in (1, 3, 4) or image.numel() == 0:
        raise UserError(
            f"A hint needs an IMAGE of batch x height x width x 3 (RGB), and this one is "
            f"{' x '.join(map(str, image.shape))}; convert it first."
        )
    rgb = image.detach().float().cpu().nan_to_num(0.0)
    rgb = rgb.repeat(1, 1, 1, 3) if image.shape[3] == 1 else rgb[..., :3]
    pictures: npt.NDArray[np.uint8] = rgb.mul(255).round().clamp(0, 255).to(torch.uint8).numpy()
    return pictures


def _image(pictures: list[npt.NDArray[np.uint8]]) -> Tensor:
    """uint8 H x W x 3 each -> IMAGE (B, H, W, 3) in 0..1."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackCanny": ControlStackCanny,
    "ControlStackDrawPose": ControlStackDrawPose,
    "ControlStackDepth": ControlStackDepth,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackCanny": "Canny Hint",
    "ControlStackDrawPose": "Draw Pose Hint",
    "ControlStackDepth": "Depth Hint",
}
