"""Invert: a negative, so that black lines on white become the white on black that line nets want.

`invert (from white bg & black line)` of https://github.com/Mikubill/sd-webui-controlnet
(`scripts/preprocessor/model_free_preprocessors.py`).
"""

from __future__ import annotations

from .picture import Bytes, checked_rgb
from .spec import Preprocessor


def invert(picture: Bytes) -> Bytes:
    """255 minus every level of `picture` (uint8 RGB, H x W x 3): 1 - it, in numbers of 0..1.

    Raises UserError for another kind of picture.
    """
    negative: Bytes = 255 - checked_rgb(picture, "Invert")
    return negative


INVERT = Preprocessor(
    name="invert",
    node="ControlStackInvert",
    title="Invert Hint",
    shows="picture",
    description=(
        "The negative of the picture: a drawing of black lines on white becomes white on black, as "
        "the ControlNets for line art, Canny, scribbles and M-LSD want it."
    ),
    aliases=(
        *("invert", "invert (from white bg & black line)", "negative", "white on black"),
        *("反色", "反相", "线稿"),
    ),
    controls="Line art: control_v11p_sd15_lineart and SDXL's; of drawings also Canny, scribble",
    run=invert,
)
