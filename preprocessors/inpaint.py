"""Inpaint: the picture with -1 where it shall be painted anew.

The inpaint ControlNet tells masked pixels by a value that no picture has: -1.0 in all channels
(`gradio_inpaint.py` of https://github.com/lllyasviel/ControlNet-v1-1-nightly). Eight bits cannot
hold it, so this hint is made of floats. xinsir's SDXL nets (inpaint, Union ProMax) were trained on
black instead (`black_pixel_for_xinsir_cn` in comfyui_controlnet_aux).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..ground.errors import UserError
from .picture import Floats, checked_size, size_of
from .spec import Preprocessor

MASKED, BLACK = -1.0, 0.0


def inpaint(picture: Floats, mask: Floats, value: float = MASKED) -> Floats:
    """`picture` (float32 RGB, H x W x 3 in 0..1) with `value` where `mask` (float32, H x W) is over
    0.5.

    Raises UserError for other kinds of picture or mask.
    """
    if picture.dtype != np.float32 or picture.shape[2:] != (3,) or not picture.size:
        raise UserError(
            "Inpaint needs a picture of floats, height x width x 3 (RGB), and got "
            f"{picture.dtype} of {size_of(picture)}; convert it first."
        )
    if mask.shape != picture.shape[:2]:
        raise UserError(
            f"Inpaint needs a mask of the picture's size, and got {size_of(mask)} for a picture of "
            f"{size_of(picture)}; resize or crop one of them."
        )
    checked_size(picture.shape[1], picture.shape[0], "The picture for inpaint")
    return np.where(mask[:, :, None] > 0.5, np.float32(value), picture)


_WORDS = ("inpaint", "inpainting", "outpaint", "outpainting", "repaint", "InpaintPreprocessor")

INPAINT = Preprocessor(
    name="inpaint",
    node="ControlStackInpaint",
    title="Inpaint Hint",
    shows="picture",
    description=(
        "The picture with -1 where the mask is, for the inpaint ControlNet, which fills what is "
        "masked. Wire it to the control straight away: saved as a PNG, the -1 would be lost."
    ),
    aliases=(*_WORDS, "inpaint_global_harmonious", "inpaint_only", "局部重绘", "修复", "扩图"),
    controls="Inpaint: control_v11p_sd15_inpaint",
    takes="masked picture",
    background=MASKED,
    run=inpaint,
)

INPAINT_BLACK = Preprocessor(
    name="inpaint_black",
    node="ControlStackInpaintBlack",
    title="Black Inpaint Hint",
    shows="picture",
    description=(
        "The picture with black where the mask is, for the repaint control of xinsir's SDXL Union "
        "ProMax. The inpaint ControlNet for SD 1.5 needs the Inpaint Hint."
    ),
    aliases=(*_WORDS, "promax", "union", "xinsir", "局部重绘", "扩图"),
    controls="Repaint: controlnet-union-sdxl-1.0 (ProMax)",
    takes="masked picture",
    background=BLACK,
    run=partial(inpaint, value=BLACK),
)
