"""Depth -> the direction in which each surface faces, as the two normal ControlNets see it.

The formula is that of ControlNet 1.0, for MiDaS's depth (`annotator/midas/__init__.py`,
`gradio_normal2image.py` in https://github.com/lllyasviel/ControlNet): the slopes by Sobel beside a
constant towards the viewer, brought to length 1. Its red is the front, green the top, blue the
left. ControlNet 1.1 was trained on other estimates and with red for left and blue for front:
https://github.com/lllyasviel/ControlNet-v1-1-nightly#controlnet-11-normal
"""

from __future__ import annotations

import math

import numpy as np

from ..ground.errors import UserError
from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, Floats, checked_size, size_of
from .spec import Preprocessor

AXES = ("v1.1", "v1.0")
"""The ControlNets by whose axes normals are coloured, the one of today first."""

FRONT = 2 * math.pi
"""How long the part towards the viewer is beside a slope in `RAW_RANGE` a pixel, times 8."""

BACKGROUND = 0.1
"""Depth (0 far, 1 near) below which a point is background and faces the viewer."""

RAW_RANGE = 2400.0
"""What 0..1 spans in the numbers that the formula was made for, those of MiDaS before they are
stretched. They have no unit and differ from picture to picture: 855 to 3246 in
https://github.com/isl-org/MiDaS/issues/42."""

EDGE = 512
"""Pixels: the shorter side at which the slopes are the formula's own. At another size they are what
they would be at this one, so that the same scene is coloured alike."""


def normal_from_depth(
    depth: Floats, axes: str = AXES[0], a: float = FRONT, bg_threshold: float = BACKGROUND
) -> Bytes:
    """Normals of `depth` (float32, H x W in 0..1, near is 1): uint8 RGB, H x W x 3.

    Each channel says how far a surface faces one way, -1 (0) to 1 (255), cut to the byte below. A
    larger `a` flattens all; what is below `bg_threshold` faces the viewer. Raises UserError for
    another kind of depth.
    """
    near = _checked(depth)
    left, top = _slopes(near)
    background = near < bg_threshold
    left[background] = 0
    top[background] = 0
    front = np.full_like(near, a)
    order = (left, top, front) if axes == "v1.1" else (front, top, left)
    normals = np.stack(order, axis=2)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return (normals * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


def _slopes(near: Floats) -> tuple[Floats, ...]:
    """How much each point faces left and up: where the right is nearer, a surface faces left."""
    cv2 = opencv()
    scale = RAW_RANGE * min(near.shape) / EDGE
    ways = ((1, 0), (0, 1))
    return tuple(cv2.Sobel(near, cv2.CV_32F, *way, ksize=3, scale=scale) for way in ways)


def _checked(depth: Floats) -> Floats:
    if depth.dtype != np.float32 or depth.ndim != 2 or depth.size == 0:
        raise UserError(
            f"Normals need a depth of float32, height x width in 0..1, and got {depth.dtype} of "
            f"{size_of(depth)}; convert it first."
        )
    checked_size(depth.shape[1], depth.shape[0], "The depth for normals")
    if not np.isfinite(depth).all():
        raise UserError("The depth for normals has points without a number; mend it first.")
    return np.ascontiguousarray(depth)


NORMAL_FROM_DEPTH = Preprocessor(
    name="normal_from_depth",
    node="ControlStackNormalFromDepth",
    title="Normal from Depth Hint",
    shows="normals",
    description=(
        "Turns depth, near is white, into the direction that each surface faces. v1.1 suits "
        "control_v11p_sd15_normalbae (red left, green top, blue front), v1.0 control_sd15_normal "
        "(red front, green top, blue left). Depth of 8 bits gives steps; connect a Depth Hint."
    ),
    aliases=(
        *("normal map", "normal_midas", "MiDaS-NormalMapPreprocessor", "surface normals"),
        *("depth to normal", "法线图", "法线"),
    ),
    controls="Normal: control_v11p_sd15_normalbae (v1.1), control_sd15_normal (v1.0)",
    parameters=(
        Parameter(
            "axes",
            AXES[0],
            "Which ControlNet's colours: v1.1 is red left, green top, blue front; v1.0 red front, "
            "green top, blue left.",
            choices=AXES,
        ),
        Parameter(
            "a",
            FRONT,
            "How much every surface faces the viewer; larger makes the normals flatter.",
            low=FRONT / 1000,
            high=2.5 * FRONT,
            step=FRONT / 1000,
        ),
        Parameter(
            "bg_threshold",
            BACKGROUND,
            "Depth below this is background and faces the viewer; 0 far, 1 near.",
            step=0.01,
        ),
    ),
    takes="depth",
    run=normal_from_depth,
)
