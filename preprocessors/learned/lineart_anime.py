"""Line art of anime pictures: white on black.

The network (https://github.com/Mukosame/Anime2Sketch) draws black on white, from -1 to 1; the
ControlNet was trained on the inverse: https://github.com/lllyasviel/ControlNet-v1-1-nightly
(`annotator/lineart_anime`, `gradio_lineart_anime.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..picture import Bytes, grey_as_rgb
from ..spec import Preprocessor
from .networks import Network, learned, published_files
from .tensors import batch, levels

if TYPE_CHECKING:
    import torch
    from torch import nn

STRIDE = 256
"""The network halves the picture eight times."""


def lineart_anime(picture: Bytes, device: torch.device, network: nn.Module) -> Bytes:
    """The line art of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind."""
    paper = network(batch(picture, device, STRIDE) / 127.5 - 1)[0, 0]
    return grey_as_rgb(255 - levels((paper + 1) / 2, picture.shape[:2], "Anime line art"))


def _build(aux: Any) -> nn.Module:
    import torch

    norm = partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    network: nn.Module = aux.UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    return network


LINEART_ANIME = Preprocessor(
    name="lineart_anime",
    node="ControlStackLineartAnime",
    title="Anime Line Art Hint",
    shows="edges",
    description="An anime picture as a line drawing, white on black as the control was trained.",
    aliases=("AnimeLineArtPreprocessor", "lineart_anime", "anime2sketch", "动漫线稿", "线稿"),
    controls="Anime line art: control_v11p_sd15s2_lineart_anime",
    learning=learned(
        "Anime line art",
        lineart_anime,
        published_files(
            "netG",
            {"netG.pth": "ccabdcc3f5cf3c07cf65d58776acb21df7dfda825cdc70c9766a93fd62bfc488"},
            "MIT",
            218,
        ),
        Network("anime line art", "model.model.0.weight", "lineart_anime", _build),
    ),
)
