"""Blur: the picture out of focus, for nets that put its detail back.

`blur_gaussian` of https://github.com/Mikubill/sd-webui-controlnet
(`scripts/preprocessor/model_free_preprocessors.py`): OpenCV's Gaussian blur, whose sigma is 9
pixels unless told otherwise and whose kernel is as wide as that sigma asks for.
"""

from __future__ import annotations

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, checked_rgb
from .spec import Preprocessor

SIGMA = 9.0
"""Pixels."""


def blur(picture: Bytes, sigma: float = SIGMA) -> Bytes:
    """`picture` (uint8 RGB, H x W x 3), each pixel the mean of those around it by a Gaussian of
    `sigma` pixels; a kind of picture as it was.

    Raises UserError for another kind of picture.
    """
    soft: Bytes = opencv().GaussianBlur(checked_rgb(picture, "Blur"), (0, 0), sigma)
    return soft


BLUR = Preprocessor(
    name="blur",
    node="ControlStackBlur",
    title="Blur Hint",
    shows="picture",
    description=(
        "The picture out of focus, by a Gaussian blur, for tile and blur ControlNets, which put "
        "detail back."
    ),
    aliases=(
        *("blur_gaussian", "gaussian blur", "out of focus", "soft focus", "tile"),
        *("模糊", "高斯模糊"),
    ),
    controls="Tile: control_v11f1e_sd15_tile and those of other families",
    parameters=(
        Parameter(
            "sigma",
            SIGMA,
            "How far the blur reaches, in pixels of the hint: the standard deviation of the "
            "Gaussian. More leaves more detail to invent.",
            low=0.01,
            high=64,
            step=0.01,
        ),
    ),
    run=blur,
)
