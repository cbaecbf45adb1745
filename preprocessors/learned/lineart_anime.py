"""Line art of anime pictures: white on black.

The network (https://github.com/Mukosame/Anime2Sketch) draws black on white, from -1 to 1; the
ControlNet was trained on the inverse: https://github.com/lllyasviel/ControlNet-v1-1-nightly
(`annotator/lineart_anime`, `gradio_lineart_anime.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..picture import grey_as_rgb
from ..spec import Annotator, Learning, Preprocessor, Weights
from .networks import ANNOTATORS, annotators, blank, fill, load_state
from .tensors import Networks, batch, levels

if TYPE_CHECKING:
    import torch
    from torch import nn

STRIDE = 256
"""The network halves the picture eight times."""


def lineart_anime(
    picture: npt.NDArray[np.uint8], device: torch.device, network: nn.Module
) -> npt.NDArray[np.uint8]:
    """The line art of `picture` (uint8 RGB, H x W x 3) in a picture of the same kind."""
    paper = network(batch(picture, device, STRIDE) / 127.5 - 1)[0, 0]
    return grey_as_rgb(255 - levels((paper + 1) / 2, picture.shape[:2], "Anime line art"))


def load_lineart_anime(paths: Sequence[Path]) -> Annotator:
    """Anime line art from netG.pth. Raises UserError for another file."""
    network = fill(blank(_make), load_state(paths[0]), paths[0], "anime line art")
    return Networks("Anime line art", (network,), lineart_anime)


def _make() -> nn.Module:
    import torch

    norm = partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    generator = annotators("lineart_anime").UnetGenerator
    network: nn.Module = generator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    return network


WEIGHTS = Weights(
    name="netG",
    repo=ANNOTATORS,
    files=("netG.pth",),
    licence="MIT",
    commercial=True,
    megabytes=218,
    sha256={"netG.pth": "ccabdcc3f5cf3c07cf65d58776acb21df7dfda825cdc70c9766a93fd62bfc488"},
)

LINEART_ANIME = Preprocessor(
    name="lineart_anime",
    node="ControlStackLineartAnime",
    title="Anime Line Art Hint",
    shows="edges",
    description="An anime picture as a line drawing, white on black as the control was trained.",
    aliases=("AnimeLineArtPreprocessor", "lineart_anime", "anime2sketch", "动漫线稿", "线稿"),
    controls="Anime line art: control_v11p_sd15s2_lineart_anime",
    learning=Learning(models=(WEIGHTS,), load=load_lineart_anime, any_size=True),
)
