"""TEED soft edges: white on black, by a network of 59 thousand weights.

The network takes RGB in 0..255 and gives edges at three scales and fused; the edge is the sigmoid
of their mean: https://github.com/Mikubill/sd-webui-controlnet (`annotator/teed`) and
https://github.com/xavysp/TEED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ground.parameters import Parameter
from ..picture import Bytes, grey_as_rgb
from ..scribble import SAFE_STEPS
from ..spec import Preprocessor
from .networks import Network, learned, published_files
from .tensors import batch, soft_edges

if TYPE_CHECKING:
    import torch
    from torch import nn

STRIDE = 4
"""The coarsest scale sees the picture halved twice."""


def teed(
    picture: Bytes, device: torch.device, network: nn.Module, safe_steps: int = SAFE_STEPS
) -> Bytes:
    """The soft edges of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind.

    In `safe_steps` + 1 levels, or in all for 0.
    """
    return grey_as_rgb(teed_edges(picture, device, network, safe_steps))


def teed_edges(picture: Bytes, device: torch.device, network: nn.Module, steps: int) -> Bytes:
    """The soft edges of `picture` (uint8 RGB, H x W x 3): H x W, 0..255."""
    import torch

    scales = network(batch(picture, device, STRIDE))
    edge = torch.sigmoid(torch.cat(scales).mean(dim=0)[0])
    return soft_edges(edge, picture.shape[:2], "TEED", steps)


NETWORK = Network("TEED", "block_cat.DWconv1.weight", "teed.ted", lambda aux: aux.TED())

_SHA256 = "b9037964149c55156c6adbffdfbd7e8ca7d2ef2a4d90573520efa7f3a1aacf06"

TEED = Preprocessor(
    name="teed",
    node="ControlStackTeed",
    title="TEED Soft Edge Hint",
    shows="edges",
    description="Soft white edges on black, found by the small TEED network, in a few even levels.",
    aliases=("TEEDPreprocessor", "TEED_Preprocessor", "softedge_teed", "soft edge", "软边缘"),
    controls="Soft edge: control_v11p_sd15_softedge and SDXL's",
    parameters=(
        Parameter(
            "safe_steps",
            SAFE_STEPS,
            "In how many steps the edges go from black to white; 0 leaves them smooth.",
            low=0,
            high=10,
        ),
    ),
    learning=learned(
        "TEED",
        teed,
        published_files(
            "TEED 7_model",
            {"Annotators/7_model.pth": _SHA256},
            "MIT",
            1,
            repo="bdsqlsz/qinglong_controlnet-lllite",
        ),
        NETWORK,
    ),
)
