"""Binary: what is dark becomes white on black, by a threshold or by Otsu's method.

The polarity is that of the original, `annotator/binary` of
https://github.com/Mikubill/sd-webui-controlnet, and of the scribble ControlNets that follow it.
comfyui_controlnet_aux inverts it once more, to black on white.
"""

from __future__ import annotations

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, checked_rgb, grey_as_rgb
from .spec import Preprocessor

THRESHOLD = 100


def binary(picture: Bytes, bin_threshold: int = THRESHOLD) -> Bytes:
    """`picture` (uint8 RGB, H x W x 3) in a picture of the same kind: 255 where its grey is at or
    below `bin_threshold`, else 0.

    0 and 255, which would leave nothing to see, stand for Otsu's threshold, the one that parts dark
    from light best. Raises UserError for another kind of picture.
    """
    cv2 = opencv()
    grey = cv2.cvtColor(checked_rgb(picture, "Binary"), cv2.COLOR_RGB2GRAY)
    by_otsu = cv2.THRESH_OTSU if bin_threshold in (0, 255) else 0
    _, dark = cv2.threshold(grey, bin_threshold, 255, cv2.THRESH_BINARY_INV | by_otsu)
    return grey_as_rgb(dark)


BINARY = Preprocessor(
    name="binary",
    node="ControlStackBinary",
    title="Binary Hint",
    shows="picture",
    description=(
        "Makes everything dark white and everything light black, for the scribble ControlNets. "
        "comfyui_controlnet_aux's node gives the opposite."
    ),
    aliases=(
        *("binary", "BinaryPreprocessor", "threshold", "otsu", "black and white"),
        *("二值化", "二值图"),
    ),
    controls="Scribble: control_v11p_sd15_scribble, control_sd15_scribble and SDXL's",
    parameters=(
        Parameter(
            "bin_threshold",
            THRESHOLD,
            "What is darker than this becomes white. 0 or 255: found by Otsu's method.",
            high=255,
        ),
    ),
    drawn=True,
    run=binary,
)
