"""Anyline: the edges of a TEED network with standard line art laid over them, white on black.

The edges hold the outlines, the line art the fine dark strokes between them; specks of it are left
out. The steps are those of https://github.com/TheMistoAI/ComfyUI-Anyline (`anyline.py`), which lays
one over the other in numbers of 0..1. controlnet-aux 0.0.10 does that with bytes, which overflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...ground.parameters import Parameter
from ..lineart_standard import lineart_standard
from ..opencv import opencv
from ..picture import Bytes, grey_as_rgb
from ..scribble import SAFE_STEPS
from ..spec import Preprocessor
from .networks import learned, published_files
from .teed import NETWORK, teed_edges

if TYPE_CHECKING:
    import torch
    from torch import nn

SIGMA, THRESHOLD = 2.0, 3
"""Of the line art: finer lines than its own defaults find."""

RESOLUTION = 1280
"""Pixels of the shorter side: what ComfyUI-Anyline hands to `resize_image_with_pad`, and the
default of comfyui_controlnet_aux (`node_wrappers/anyline.py`) and sd-webui
(`scripts/preprocessor/teed.py`). At 512 its lines are two to four times as bright."""

SPECK = 12
"""Pixels: a smaller patch of line art is a speck. The original counts 36 over three channels."""


def anyline(
    picture: Bytes,
    device: torch.device,
    network: nn.Module,
    gaussian_sigma: float = SIGMA,
    intensity_threshold: int = THRESHOLD,
) -> Bytes:
    """The lines of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind.

    The settings are those of the line art.
    """
    edges = teed_edges(picture, device, network, SAFE_STEPS)
    strokes = lineart_standard(picture, gaussian_sigma, intensity_threshold)[:, :, 0]
    return grey_as_rgb(screen(edges, without_specks(strokes)))


def without_specks(strokes: Bytes) -> Bytes:
    """Line art (uint8, H x W) without its patches of fewer than SPECK pixels.

    A patch is what touches by its sides and is not black.
    """
    drawn = (strokes > 0).astype(np.uint8)
    _, patches, stats, _ = opencv().connectedComponentsWithStats(drawn, connectivity=4)
    large = stats[:, opencv().CC_STAT_AREA] >= SPECK
    kept: Bytes = np.where(large[patches], strokes, np.uint8(0))
    return kept


def screen(below: Bytes, above: Bytes) -> Bytes:
    """Two pictures of light laid over each other: 1 - (1 - a) (1 - b), of bytes as 0..1."""
    dark = (255 - below.astype(np.uint16)) * (255 - above.astype(np.uint16))
    return (255 - (dark + 127) // 255).astype(np.uint8)


# The publisher's repository of code, https://github.com/TheMistoAI/ComfyUI-Anyline, holds this very
# file (`checkpoints/MTEED.pth`) under its MIT licence; MistoLine's page, that of a ControlNet, has
# OpenRAIL++.
_SHA256 = "a3c2d8a8ce9422555c787160bd46362d761325a565333c0e3f6a53e0bae2abdb"

ANYLINE = Preprocessor(
    name="anyline",
    node="ControlStackAnyline",
    title="Anyline Hint",
    shows="edges",
    description="All kinds of lines, white on black: the outlines of a picture by a small network, "
    "and its fine dark strokes over them. Made for MistoLine; it looks at 1280 pixels by itself.",
    aliases=("AnyLineArtPreprocessor_aux", "AnyLine Lineart", "softedge_anyline", "mteed", "线稿"),
    controls="Line art: mistoLine_fp16, mistoLine_rank256 and others of SDXL",
    way=1,
    parameters=(
        Parameter(
            "gaussian_sigma",
            SIGMA,
            "How wide the strokes may be, in pixels, that are laid over the outlines.",
            low=0.1,
            high=100,
            step=0.1,
        ),
        Parameter(
            "intensity_threshold",
            THRESHOLD,
            "How much darker than its surroundings a stroke must be to count when the strokes' "
            "brightness is set.",
            high=16,
        ),
    ),
    learning=learned(
        "Anyline",
        anyline,
        published_files(
            "MTEED", {"Anyline/MTEED.pth": _SHA256}, "MIT", 1, repo="TheMistoAI/MistoLine"
        ),
        NETWORK,
        resolution=RESOLUTION,
    ),
)
