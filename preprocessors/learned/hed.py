"""HED soft edges, and the scribbles made of them: white on black.

The network takes RGB in 0..255 (the original HED takes BGR) and gives edges at five scales; the
edge is the sigmoid of their mean: https://github.com/lllyasviel/ControlNet-v1-1-nightly
(`annotator/hed`, `gradio_softedge.py`, `gradio_scribble.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...ground.parameters import Parameter
from ..picture import Bytes, grey_as_rgb
from ..scribble import SAFE_STEPS, from_edges
from ..spec import Preprocessor
from .networks import Network, learned, published_files
from .tensors import batch, soft_edges

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

STRIDE = 16
"""The coarsest scale sees the picture halved four times."""


def hed(picture: Bytes, device: torch.device, network: nn.Module, safe: bool = False) -> Bytes:
    """The soft edges of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind.

    `safe`: in three levels only.
    """
    return grey_as_rgb(_edges(picture, device, network, safe))


def hed_scribble(picture: Bytes, device: torch.device, network: nn.Module) -> Bytes:
    """A scribble, 0 or 255, of the soft edges of `picture` (uint8 RGB, H x W x 3)."""
    return grey_as_rgb(from_edges(_edges(picture, device, network, safe=False)))


def _edges(picture: Bytes, device: torch.device, network: nn.Module, safe: bool) -> Bytes:
    """H x W, 0..255."""
    import torch

    taken = batch(picture, device, STRIDE)
    edge = torch.sigmoid(_mean(network(taken), (taken.shape[2], taken.shape[3])))
    return soft_edges(edge, picture.shape[:2], "HED", SAFE_STEPS * safe)


def _mean(scales: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """The mean, H x W, of maps of any sizes (1 x 1 x h x w), each brought to `size`."""
    import torch

    full = [
        torch.nn.functional.interpolate(scale, size, mode="bilinear", align_corners=False)
        for scale in scales
    ]
    return torch.cat(full).mean(dim=0)[0]


_WEIGHTS = published_files(
    "ControlNetHED",
    {"ControlNetHED.pth": "5ca93762ffd68a29fee1af9d495bf6aab80ae86f08905fb35472a083a4c7a8fa"},
    "Apache-2.0",
    29,
)
_NETWORK = Network("HED", "block1.convs.0.weight", "hed", lambda aux: aux.ControlNetHED_Apache2())

SAFE = Parameter(
    "safe",
    False,
    "Edges in three levels only, so that faint traces of the picture do not pass to the result.",
)

HED = Preprocessor(
    name="hed",
    node="ControlStackHed",
    title="HED Soft Edge Hint",
    shows="edges",
    description="Soft white edges on black, found by the HED network: outlines strong, textures "
    "weak.",
    aliases=("HEDPreprocessor", "softedge_hed", "softedge_hedsafe", "soft edge", "边缘", "软边缘"),
    controls="Soft edge: control_v11p_sd15_softedge, control_sd15_hed",
    parameters=(SAFE,),
    learning=learned("HED", hed, _WEIGHTS, _NETWORK),
)

HED_SCRIBBLE = Preprocessor(
    name="hed_scribble",
    node="ControlStackHedScribble",
    title="HED Scribble Hint",
    shows="edges",
    description="Broad white lines on black, as if drawn by hand over the picture's outlines: the "
    "edges of the HED network, thinned and drawn again.",
    aliases=("FakeScribblePreprocessor", "scribble_hed", "fake scribble", "涂鸦"),
    controls="Scribble: control_v11p_sd15_scribble",
    drawn=True,
    learning=learned("HED", hed_scribble, _WEIGHTS, _NETWORK),
)
