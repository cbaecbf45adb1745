"""M-LSD: the straight lines of a picture, white and one pixel wide on black.

The network takes RGB and a fourth channel of ones, and gives a map of half the picture's size: how
likely a line has its centre there, and where its two ends then are. How lines are read from it:
https://github.com/lllyasviel/ControlNet-v1-1-nightly (`annotator/mlsd`, `gradio_mlsd.py`) and
https://github.com/navervision/mlsd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...ground.parameters import Parameter
from ..opencv import opencv
from ..picture import Bytes, Floats, grey_as_rgb
from ..spec import Preprocessor
from .networks import Network, learned, published_files
from .tensors import batch, finite

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

STRIDE = 16
"""The coarsest scale sees the picture halved four times."""

MAP_SCALE = 2
"""Pixels of the picture to one of the network's map."""

MOST_LINES = 200


def mlsd(
    picture: Bytes,
    device: torch.device,
    network: nn.Module,
    value_threshold: float = 0.1,
    distance_threshold: float = 0.1,
) -> Bytes:
    """The straight lines of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind.

    A line is drawn where the network is surer of it than `value_threshold` (0..1) and where it is
    longer than `distance_threshold` pixels of the map; no more than MOST_LINES, the surest.
    """
    height, width = picture.shape[:2]
    found = finite(network(_with_ones(batch(picture, device, STRIDE)) / 127.5 - 1)[0], "M-LSD")
    inside = found[:, : -(-height // MAP_SCALE), : -(-width // MAP_SCALE)]
    lines = _lines(inside, value_threshold, distance_threshold)
    canvas = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in lines.astype(int).tolist():
        opencv().line(canvas, (x0, y0), (x1, y1), 255, 1)
    return grey_as_rgb(canvas)


def _with_ones(pixels: Tensor) -> Tensor:
    """1 x 3 x H x W with a fourth channel, 1 everywhere."""
    import torch

    return torch.cat((pixels, torch.ones_like(pixels[:, :1])), dim=1)


def _lines(found: Tensor, least_value: float, least_length: float) -> Floats:
    """The lines in the network's map (5 x h x w): N x 4, the ends' x, y, x, y in the picture."""
    import torch

    width = found.shape[2]
    centres = torch.sigmoid(found[0])
    highest = torch.nn.functional.max_pool2d(centres[None], kernel_size=3, stride=1, padding=1)[0]
    peaks = (centres * (highest == centres)).flatten()
    values, places = peaks.topk(min(MOST_LINES, peaks.numel()))
    x, y = places % width, places // width
    moves = found[1:5].flatten(1)[:, places]
    length = torch.hypot(moves[0] - moves[2], moves[1] - moves[3])
    kept = (values > least_value) & (length > least_length)
    ends = (torch.stack((x, y, x, y)) + moves)[:, kept] * MAP_SCALE
    lines: Floats = ends.T.cpu().numpy()
    return lines


_SHA256 = "5696f168eb2c30d4374bbfd45436f7415bb4d88da29bea97eea0101520fba082"

MLSD = Preprocessor(
    name="mlsd",
    node="ControlStackMlsd",
    title="M-LSD Lines Hint",
    shows="edges",
    description="The straight lines of a picture, white and one pixel wide on black: rooms, "
    "buildings, furniture. What is not straight is left out.",
    aliases=("M-LSDPreprocessor", "mlsd", "straight lines", "hough", "直线", "建筑"),
    controls="M-LSD: control_v11p_sd15_mlsd",
    parameters=(
        Parameter(
            "value_threshold",
            0.1,
            "How sure of a line the network must be; higher finds fewer lines.",
            low=0.01,
            high=1.0,
            step=0.01,
        ),
        Parameter(
            "distance_threshold",
            0.1,
            "How long a line must be, in units of two pixels; higher leaves out short lines.",
            low=0.01,
            high=20.0,
            step=0.01,
        ),
    ),
    drawn=True,
    learning=learned(
        "M-LSD",
        mlsd,
        published_files(
            "mlsd_large_512_fp32", {"mlsd_large_512_fp32.pth": _SHA256}, "Apache-2.0", 6
        ),
        Network(
            *("M-LSD (large)", "block15.conv1.0.weight", "mlsd.models.mbv2_mlsd_large"),
            lambda aux: aux.MobileV2_MLSD_Large(),
        ),
    ),
)
