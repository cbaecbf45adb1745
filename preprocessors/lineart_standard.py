"""Standard line art: white lines on black where a picture is darker than a blur of itself.

The formula and its numbers are those of `lineart_standard` in
https://github.com/Mikubill/sd-webui-controlnet (`scripts/preprocessor/legacy/processor.py`), which
controlnet-aux has taken over: lines are soft, and their median strength becomes the grey 127.
"""

from __future__ import annotations

import numpy as np

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import HALF_A_LEVEL, Bytes, checked_rgb, darkest_channel, grey_as_rgb
from .spec import Preprocessor

SIGMA, THRESHOLD = 6.0, 8
FAINTEST = 16
"""Differences of 0..255: no lower one becomes the grey MIDDLE, so that faint noise stays faint."""

MIDDLE = 127


def lineart_standard(
    picture: Bytes, gaussian_sigma: float = SIGMA, intensity_threshold: int = THRESHOLD
) -> Bytes:
    """The lines of `picture` (uint8 RGB, H x W x 3), white on black, in a picture of the same kind.

    A line is as strong as the pixel is darker, in every channel, than its surroundings of
    `gaussian_sigma` pixels. The median of the strengths above `intensity_threshold`, and above half
    a level at least, becomes MIDDLE. Raises UserError for another kind of picture.
    """
    values = checked_rgb(picture, "Standard line art").astype(np.float32)
    surroundings = opencv().GaussianBlur(values, (0, 0), gaussian_sigma)
    strength = darkest_channel(surroundings - values).clip(0, 255)
    strong = strength[strength > max(intensity_threshold, HALF_A_LEVEL)]
    middle = max(FAINTEST, float(np.median(strong))) if strong.size else FAINTEST
    return grey_as_rgb((strength / np.float32(middle) * MIDDLE).clip(0, 255).astype(np.uint8))


LINEART_STANDARD = Preprocessor(
    name="lineart_standard",
    node="ControlStackLineartStandard",
    title="Standard Line Art Hint",
    shows="edges",
    description=(
        "Draws soft white lines on black where a picture is darker than its surroundings, for the "
        "line art ControlNets. Best for pictures that are drawings already; needs no weights."
    ),
    aliases=(
        *("lineart_standard", "LineartStandardPreprocessor", "line art", "lineart", "sketch"),
        *("标准线稿", "线稿"),
    ),
    controls="Line art: control_v11p_sd15_lineart and SDXL's",
    parameters=(
        Parameter(
            "gaussian_sigma",
            SIGMA,
            "How many pixels around it are compared with a pixel. Larger finds broader lines.",
            low=0.1,
            high=100,
            step=0.1,
        ),
        Parameter(
            "intensity_threshold",
            THRESHOLD,
            "How much darker than its surroundings a pixel must be to count when the lines' "
            "brightness is set. Higher gives fainter lines.",
            high=16,
        ),
    ),
    way=1,
    run=lineart_standard,
)
