"""Tiny locked U-Nets of the shapes that ControlNets are trained on."""

from __future__ import annotations

from typing import Any

import torch

from tests.tiny import CONTEXT


def sd15_unet(seed: int = 0) -> Any:
    """As SD 1.5 in all that a file's shapes do not tell: eight heads, norms of 32 groups."""
    return _two_levels(seed, block_out_channels=(32, 64), attention_head_dim=8)


def sd21_unet(seed: int = 0) -> Any:
    """As SD 2.1 in all that a file's shapes do not tell: heads of 64 channels."""
    return _two_levels(
        seed,
        block_out_channels=(128, 256),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
    )


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


def _two_levels(seed: int, **shape: Any) -> Any:
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=CONTEXT,
            **shape,
        )
    return unet.eval().requires_grad_(False)
