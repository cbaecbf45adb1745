"""PiDiNet soft edges, and the scribbles made of them: white on black.

The network takes BGR in 0..1 and gives edges at four scales, fused ones last:
https://github.com/lllyasviel/ControlNet-v1-1-nightly (`annotator/pidinet`, `gradio_softedge.py`).
Its weights are for research only (https://github.com/hellozhuo/pidinet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..picture import Bytes, grey_as_rgb
from ..scribble import SAFE_STEPS, from_edges
from ..spec import Preprocessor
from .hed import SAFE
from .networks import Network, learned, published_files
from .tensors import batch, soft_edges

if TYPE_CHECKING:
    import torch
    from torch import nn

STRIDE = 8
"""The coarsest scale sees the picture halved three times."""


def pidinet(picture: Bytes, device: torch.device, network: nn.Module, safe: bool = False) -> Bytes:
    """The soft edges of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind.

    `safe`: in three levels only.
    """
    return grey_as_rgb(_edges(picture, device, network, safe))


def pidinet_scribble(picture: Bytes, device: torch.device, network: nn.Module) -> Bytes:
    """A scribble, 0 or 255, of the soft edges of `picture` (uint8 RGB, H x W x 3)."""
    return grey_as_rgb(from_edges(_edges(picture, device, network, safe=False)))


def _edges(picture: Bytes, device: torch.device, network: nn.Module, safe: bool) -> Bytes:
    """H x W, 0..255."""
    bgr = batch(picture, device, STRIDE).flip(1) / 255
    return soft_edges(network(bgr)[-1][0, 0], picture.shape[:2], "PiDiNet", SAFE_STEPS * safe)


_WEIGHTS = published_files(
    "table5_pidinet",
    {"table5_pidinet.pth": "80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c"},
    "research only",
    3,
    commercial=False,
)
_NETWORK = Network("PiDiNet", "init_block.weight", "pidi.model", lambda aux: aux.pidinet())

PIDINET = Preprocessor(
    name="pidinet",
    node="ControlStackPidinet",
    title="PiDiNet Soft Edge Hint",
    shows="edges",
    description="Soft white edges on black, found by PiDiNet: cleaner than HED's, with less "
    "texture. Its weights are for research only, not for commercial use.",
    aliases=(
        *("PiDiNetPreprocessor", "softedge_pidinet", "softedge_pidisafe"),
        *("soft edge", "边缘", "软边缘"),
    ),
    controls="Soft edge: control_v11p_sd15_softedge",
    parameters=(SAFE,),
    learning=learned("PiDiNet", pidinet, _WEIGHTS, _NETWORK),
)

PIDINET_SCRIBBLE = Preprocessor(
    name="pidinet_scribble",
    node="ControlStackPidinetScribble",
    title="PiDiNet Scribble Hint",
    shows="edges",
    description="Broad white lines on black, as if drawn by hand over the picture's outlines: the "
    "edges of PiDiNet, thinned and drawn again. Its weights are for research only, not for "
    "commercial use.",
    aliases=("Scribble_PiDiNet_Preprocessor", "scribble_pidinet", "涂鸦"),
    controls="Scribble: control_v11p_sd15_scribble",
    drawn=True,
    learning=learned("PiDiNet", pidinet_scribble, _WEIGHTS, _NETWORK),
)
