"""Scribbles as the scribble ControlNets were trained on: white lines on black, nothing between.

Three ways to one: a drawing by its darkness, a photo by XDoG (a difference of two blurs), and the
soft edges of a network thinned and drawn again with a broad pen. The numbers are those of
https://github.com/lllyasviel/ControlNet (`gradio_scribble2image.py`),
https://github.com/lllyasviel/ControlNet-v1-1-nightly (`gradio_scribble.py`, `annotator/util.py`)
and https://github.com/Fannovel16/comfyui_controlnet_aux (`scribble/__init__.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import (
    HALF_A_LEVEL,
    Bytes,
    Floats,
    Pixel,
    checked_rgb,
    darkest_channel,
    grey_as_rgb,
)
from .spec import Preprocessor

DARK = 127
"""Of `scribble`: the brightness, 0..255, below which a pixel belongs to a line."""

FINE, BROAD, XDOG = 0.5, 5.0, 32
"""Of `xdog`: the sigmas of its blurs, and twice the difference of them that is a line."""

RIDGE, PEN, INK = 127, 3.0, 4
"""Of `from_edges`: how strong a ridge must be, the sigma of both blurs, and how much is drawn."""

SAFE_STEPS = 2
"""In how many steps "safe" edges go from black to white."""

_NEIGHBOURS = (
    ((0, 0, 0), (1, 1, 1), (0, 0, 0)),
    ((0, 1, 0), (0, 1, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
)
"""A pixel with its two neighbours along each of the four directions."""


def scribble(picture: Bytes, threshold: int = DARK) -> Bytes:
    """A drawing (uint8 RGB, H x W x 3, dark on light) -> its lines, 255 on 0, of the same kind.

    A pixel is a line where one of its channels is below `threshold`, so a line of any strong colour
    is one. Raises UserError for another kind of picture.
    """
    darkest = darkest_channel(checked_rgb(picture, "Scribble"))
    return grey_as_rgb(_white(darkest < threshold))


def xdog(picture: Bytes, threshold: int = XDOG) -> Bytes:
    """What is darker than its surroundings in `picture` (uint8 RGB, H x W x 3): 255 on 0.

    A pixel is a line where the broad blur lies above the fine one by more than half of `threshold`
    in every channel. The original doubles the difference as a byte, which runs over and leaves
    holes where it is 128 and more, in the darkest lines; here they are filled. At a threshold of 1
    it takes every rounding of a blur for a line; here half a level is the least. Raises UserError
    for another kind of picture.
    """
    values = checked_rgb(picture, "XDoG").astype(np.float32)
    blur = opencv().GaussianBlur
    darker = darkest_channel(blur(values, (0, 0), BROAD) - blur(values, (0, 0), FINE))
    return grey_as_rgb(_white(darker > max(threshold // 2, HALF_A_LEVEL)))


def from_edges(edges: Bytes) -> Bytes:
    """Soft edges (uint8, H x W, white on black) -> a scribble (uint8, H x W, 0 or 255).

    The edges are blurred, thinned to their ridges where those pass RIDGE, and what a blur of the
    ridges leaves above INK becomes a line.
    """
    blurred = opencv().GaussianBlur(edges.astype(np.float32), (0, 0), PEN)
    ridges = _white(highest_along_a_line(blurred) & (blurred > RIDGE))
    drawn = opencv().GaussianBlur(ridges, (0, 0), PEN)
    return _white(drawn > INK)


def _white(where: npt.NDArray[np.bool_]) -> Bytes:
    """255 there, else 0."""
    return where.astype(np.uint8) * np.uint8(255)


def highest_along_a_line(values: npt.NDArray[Pixel]) -> npt.NDArray[np.bool_]:
    """Where no neighbour along at least one of the four directions is higher, in H x W."""
    highest = np.zeros(values.shape, bool)
    for line in _NEIGHBOURS:
        highest |= opencv().dilate(values, np.array(line, np.uint8)) == values
    return highest


def safe_steps(edges: npt.NDArray[np.floating], steps: int = SAFE_STEPS) -> Floats:
    """Edges in 0..1 -> the same in `steps` + 1 even steps: 0, 1 / `steps`, ... 1.

    The "safe" edges of ControlNet 1.1: few levels hide the faint traces of the picture that a soft
    edge carries. The original makes 1.5 of an edge of exactly 1, which is white all the same.
    """
    levels = np.floor(edges.astype(np.float32) * (steps + 1))
    return np.minimum(levels / np.float32(steps), np.float32(1))


SCRIBBLE = Preprocessor(
    name="scribble",
    node="ControlStackScribble",
    title="Scribble Hint",
    shows="edges",
    description=(
        "Turns a drawing, dark on light, into white lines on black, as the scribble ControlNets "
        "were trained on. For a photo use XDoG, or a scribble from HED or PiDiNet."
    ),
    aliases=(
        *("scribble", "ScribblePreprocessor", "simple_scribble", "invert", "threshold", "sketch"),
        *("doodle", "line drawing", "涂鸦", "手绘"),
    ),
    controls="Scribble: control_v11p_sd15_scribble, control_sd15_scribble and SDXL's",
    parameters=(
        Parameter(
            "threshold",
            DARK,
            "A pixel is a line where its darkest channel is below this. Higher keeps paler lines.",
            high=255,
        ),
    ),
    drawn=True,
    run=scribble,
)

XDOG_SCRIBBLE = Preprocessor(
    name="scribble_xdog",
    node="ControlStackScribbleXdog",
    title="XDoG Scribble Hint",
    shows="edges",
    description=(
        "Draws what is darker than its surroundings in a photo or drawing as white lines on black, "
        "for the scribble ControlNets. It needs no weights."
    ),
    aliases=(
        *("xdog", "scribble_xdog", "Scribble_XDoG_Preprocessor", "difference of gaussians"),
        *("scribble", "sketch", "涂鸦", "线稿"),
    ),
    controls="Scribble: control_v11p_sd15_scribble, control_sd15_scribble and SDXL's",
    parameters=(
        Parameter(
            "threshold",
            XDOG,
            "How much darker than its surroundings a line must be. Lower finds more lines.",
            low=1,
            high=64,
        ),
    ),
    drawn=True,
    way=1,
    run=xdog,
)
