"""What SDXL's U-Net and its ControlNets are told beside text and noise: one vector `y`.

The pooled text, then six numbers as sinusoids: height and width of the picture, where it was cut
(top, left), and height and width to aim at (Podell et al. 2023, https://arxiv.org/abs/2307.01952,
2.2). It is what ComfyUI's `SDXL.encode_adm` (`comfy/model_base.py`) makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...ground.errors import UserError
from ...ground.latents import LATENT_PIXELS
from ...model_files.unet_layout import SINUSOIDS

NUMBERS = 6
_PERIOD = 10000.0  # the longest period, as for timesteps (Vaswani et al. 2017, 3.5)


def y_width(network: nn.Module) -> int:
    """The width of the vector that a U-Net or ControlNet takes as its class; 0 for none."""
    config: Any = network.config
    if config.get("class_embed_type") != "projection":
        return 0
    return int(config["projection_class_embeddings_input_dim"])


def y_of(width: int, settings: Mapping[str, Any], size: tuple[int, int]) -> Tensor:
    """The vector (n, `width`) of one entry of a CONDITIONING, n the rows of its pooled text.

    `settings` may hold "width", "height", "crop_w", "crop_h", "target_width" and "target_height" in
    pixels, as CLIPTextEncodeSDXL leaves them; `size` is (h, w) of the latent, what they are without
    it. Raises UserError where there is no pooled text of the right width.
    """
    pooled, wanted = settings.get("pooled_output"), width - NUMBERS * SINUSOIDS
    if pooled is None or pooled.shape[-1] != wanted:
        told = "has none" if pooled is None else f"is {pooled.shape[-1]} wide"
        raise UserError(
            f"The U-Net takes a pooled text {wanted} wide and this conditioning's {told}: use the "
            "CLIP that belongs to this model."
        )
    height = settings.get("height", size[0] * LATENT_PIXELS)
    across = settings.get("width", size[1] * LATENT_PIXELS)
    numbers = (
        *(height, across, settings.get("crop_h", 0), settings.get("crop_w", 0)),
        *(settings.get("target_height", height), settings.get("target_width", across)),
    )
    told_sizes = sinusoids(torch.tensor(numbers, dtype=torch.float32)).flatten()
    return torch.cat([pooled.float().cpu(), told_sizes.expand(len(pooled), -1)], dim=1)


def sinusoids(numbers: Tensor, count: int = SINUSOIDS) -> Tensor:
    """(N,) to (N, `count`), `count` even: cosines, then sines, of periods up to 10000 (DDPM, Ho et
    al. 2020, in the order that CompVis/latent-diffusion's `timestep_embedding` has them).
    """
    half = count // 2
    rates = torch.exp(-math.log(_PERIOD) * torch.arange(half, dtype=torch.float32) / half)
    angles = numbers[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)
