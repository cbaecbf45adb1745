"""Recolor: the picture without its colours, which the recolor ControlNets paint anew.

Two measures of lightness, as `recolor_luminance` and `recolor_intensity` of
https://github.com/Mikubill/sd-webui-controlnet (`scripts/preprocessor/legacy/processor.py`): L of
CIE L*a*b*, and the V of HSV. The original reads its RGB picture as BGR for L, so that red counts as
blue does; its own step that puts the lightness back reads RGB, and so does this.
"""

from __future__ import annotations

import numpy as np

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, checked_rgb, grey_as_rgb
from .spec import Preprocessor

GAMMA = 1.0


def recolor_luminance(picture: Bytes, gamma_correction: float = GAMMA) -> Bytes:
    """How light `picture` (uint8 RGB, H x W x 3) looks: L of L*a*b* scaled to 0..255, to the power
    of `gamma_correction`, in three equal channels.

    Raises UserError for another kind of picture.
    """
    cv2 = opencv()
    lab = cv2.cvtColor(checked_rgb(picture, "Recolor luminance"), cv2.COLOR_RGB2LAB)
    return grey_as_rgb(_to_the_power(cv2.extractChannel(lab, 0), gamma_correction))


def recolor_intensity(picture: Bytes, gamma_correction: float = GAMMA) -> Bytes:
    """The brightest channel of `picture` (uint8 RGB, H x W x 3), to the power of
    `gamma_correction`, in three equal channels.

    Raises UserError for another kind of picture.
    """
    red, green, blue = opencv().split(checked_rgb(picture, "Recolor intensity"))
    brightest = np.maximum(np.maximum(red, green), blue)
    return grey_as_rgb(_to_the_power(brightest, gamma_correction))


def _to_the_power(grey: Bytes, gamma: float) -> Bytes:
    """255 * (grey / 255) ** gamma, rounded: a gamma of 1 changes nothing."""
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    result: Bytes = opencv().LUT(grey, table)
    return result


_GAMMA_CORRECTION = Parameter(
    "gamma_correction",
    GAMMA,
    "Below 1 lightens the hint, above 1 darkens it.",
    low=0.1,
    high=2,
    step=0.01,
)
_CONTROLS = "Recolor: ioclab_sd15_recolor, sai_xl_recolor_128lora, sai_xl_recolor_256lora"

RECOLOR_LUMINANCE = Preprocessor(
    name="recolor_luminance",
    node="ControlStackRecolorLuminance",
    title="Recolor Luminance Hint",
    shows="picture",
    description=(
        "The picture in grey, as light as it looks, for ControlNets that colour a picture anew. "
        "The usual choice of the two recolor hints."
    ),
    aliases=(
        *("recolor", "recolor_luminance", "ImageLuminanceDetector", "luminance", "colorize"),
        *("grayscale", "greyscale", "重新上色", "亮度", "灰度"),
    ),
    controls=_CONTROLS,
    parameters=(_GAMMA_CORRECTION,),
    run=recolor_luminance,
)

RECOLOR_INTENSITY = Preprocessor(
    name="recolor_intensity",
    node="ControlStackRecolorIntensity",
    title="Recolor Intensity Hint",
    shows="picture",
    description=(
        "The picture in grey, as bright as its brightest channel, for ControlNets that colour a "
        "picture anew."
    ),
    aliases=(
        *("recolor", "recolor_intensity", "ImageIntensityDetector", "intensity", "colorize"),
        *("grayscale", "greyscale", "重新上色", "强度", "灰度"),
    ),
    controls=_CONTROLS,
    parameters=(_GAMMA_CORRECTION,),
    run=recolor_intensity,
)
