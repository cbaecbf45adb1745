"""Tiny locked U-Nets of the shapes that ControlNets are trained on."""

from __future__ import annotations

from typing import Any

import torch

from tests.tiny import CONTEXT


def sd2_unet(seed: int = 0) -> Any:
    """As SD 2.x: linear projections, another number of heads at each level."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16, 32, 32),
            attention_head_dim=(1, 2, 4, 4),
            use_linear_projection=True,
            norm_num_groups=4,
            cross_attention_dim=CONTEXT,
        )
    return unet.eval().requires_grad_(False)
