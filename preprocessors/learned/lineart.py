"""Line art of photos, in fine or in coarse lines: white on black.

The two networks (https://github.com/carolineec/informative-drawings) draw black on white; the
ControlNet was trained on the inverse: https://github.com/lllyasviel/ControlNet-v1-1-nightly
(`annotator/lineart`, `gradio_lineart.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ground.parameters import Parameter
from ..picture import Bytes, grey_as_rgb
from ..spec import Preprocessor
from .networks import Network, learned, published_files
from .tensors import batch, levels

if TYPE_CHECKING:
    import torch
    from torch import nn

STRIDE, LEAST = 4, 8
"""The network halves the picture twice; what is left must have more than one pixel a side."""


def lineart(
    picture: Bytes,
    device: torch.device,
    fine_network: nn.Module,
    coarse_network: nn.Module,
    coarse: bool = False,
) -> Bytes:
    """The line art of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind."""
    network = coarse_network if coarse else fine_network
    paper = network(batch(picture, device, STRIDE, LEAST) / 255)[0, 0]
    return grey_as_rgb(255 - levels(paper, picture.shape[:2], "Line art"))


_NETWORK = Network("line art", "model0.1.weight", "lineart", lambda aux: aux.Generator(3, 1, 3))

LINEART = Preprocessor(
    name="lineart",
    node="ControlStackLineart",
    title="Line Art Hint",
    shows="edges",
    description="A photo as a line drawing, white on black as the control was trained; coarse "
    "draws fewer, bolder lines.",
    aliases=("LineArtPreprocessor", "lineart_realistic", "lineart_coarse", "线稿"),
    controls="Line art: control_v11p_sd15_lineart",
    parameters=(Parameter("coarse", False, "Fewer and bolder lines, by a network of their own."),),
    learning=learned(
        "Line art",
        lineart,
        published_files(
            "sk_model",
            {
                "sk_model.pth": "c686ced2a666b4850b4bb6ccf0748031c3eda9f822de73a34b8979970d90f0c6",
                "sk_model2.pth": "30a534781061f34e83bb9406b4335da4ff2616c95d22a585c1245aa8363e74e0",
            },
            "MIT",
            34,
        ),
        *(_NETWORK, _NETWORK),
    ),
)
