"""ControlNet-lite, the paper's ablation without a copied backbone. Imports diffusers: import it
where a network is made or loaded.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.controlnets.controlnet import (
    ControlNetConditioningEmbedding,
    ControlNetOutput,
    zero_module,
)
from torch import Tensor, nn
from torch.nn import functional


class LiteControlNet(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers has no types
    """One 3 x 3 convolution in place of each block of the trainable copy, zero convolutions at the
    ends; called as diffusers' ControlNetModel, with residuals of the same shapes.

    It reads what the copy reads in the same place, the noisy latent plus the encoded hint, since
    the paper replaces the blocks alone (arXiv 2302.05543, section 4.3). A plain convolution has no
    place for the time and the prompt: both are taken and not used. The channels are the U-Net's;
    the weights are He's normal ones, which keep a signal's strength through layers with SiLU after
    them (K. He et al. 2015, arXiv 1502.01852).
    """

    _supports_gradient_checkpointing = True

    @register_to_config  # type: ignore[untyped-decorator]  # diffusers has no types
    def __init__(
        self,
        in_channels: int = 4,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        downsample_padding: int = 1,
        conditioning_channels: int = 3,
        conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256),
        controlnet_conditioning_channel_order: str = "rgb",
        global_pool_conditions: bool = False,
    ) -> None:
        """The names are those of ControlNetModel's configuration; hints are RGB, nothing pools."""
        super().__init__()
        if controlnet_conditioning_channel_order != "rgb" or global_pool_conditions:
            raise ValueError("a lite ControlNet reads RGB and does not pool its residuals")
        self.gradient_checkpointing = False
        first, last = block_out_channels[0], block_out_channels[-1]
        self.latent_in = nn.Conv2d(in_channels, first, 3, padding=1)
        self.controlnet_cond_embedding = ControlNetConditioningEmbedding(
            first, conditioning_channels, conditioning_embedding_out_channels
        )
        blocks = _convolutions(block_out_channels, layers_per_block, downsample_padding)
        self.blocks = nn.ModuleList(blocks)
        self.middle = nn.Conv2d(last, last, 3, padding=1)
        for layer in (self.latent_in, *blocks, self.middle):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.get_parameter("bias"), 0)
        ends = (first, *(block.out_channels for block in blocks))
        self.controlnet_down_blocks = nn.ModuleList(zero_module(nn.Conv2d(n, n, 1)) for n in ends)
        self.controlnet_mid_block = zero_module(nn.Conv2d(last, last, 1))

    @classmethod
    def for_unet(cls, unet: Any, hint_channels: tuple[int, ...]) -> LiteControlNet:
        """A fresh one for a U-Net of `CrossAttnDownBlock2D` and `DownBlock2D`."""
        config = unet.config
        made: LiteControlNet = cls(
            in_channels=config.in_channels,
            block_out_channels=tuple(config.block_out_channels),
            layers_per_block=config.layers_per_block,
            downsample_padding=config.downsample_padding,
            conditioning_embedding_out_channels=hint_channels,
        )
        return made

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor,
        conditioning_scale: float = 1.0,
        return_dict: bool = True,
    ) -> Any:
        """Latents (n, c, h, w) and hints (n, 3, 8h, 8w) in 0..1 to residuals, one for each skip of
        the U-Net's encoder and one for its middle, each times `conditioning_scale`.
        """
        x = self.latent_in(sample) + self.controlnet_cond_embedding(controlnet_cond)
        features = [x]
        for block in self.blocks:
            x = self._block(block, x)
            features.append(x)
        middle = self.controlnet_mid_block(self._block(self.middle, x)) * conditioning_scale
        down = [
            end(feature) * conditioning_scale
            for end, feature in zip(self.controlnet_down_blocks, features, strict=True)
        ]
        if not return_dict:
            return down, middle
        return ControlNetOutput(down_block_res_samples=tuple(down), mid_block_res_sample=middle)

    def _block(self, block: nn.Module, x: Tensor) -> Tensor:
        def run(x: Tensor) -> Tensor:
            result: Tensor = functional.silu(block(x))
            return result

        if torch.is_grad_enabled() and self.gradient_checkpointing:
            checkpointed: Tensor = self._gradient_checkpointing_func(run, x)
            return checkpointed
        return run(x)


class _Halving(nn.Conv2d):
    """A stride of 2 with the padding of diffusers' Downsample2D, which asks for 0 and pads one row
    below and one column at the right.
    """

    def __init__(self, channels: int, padding: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.padding[0] else functional.pad(x, (0, 1, 0, 1)))


def _convolutions(channels: tuple[int, ...], layers: int, padding: int) -> list[nn.Conv2d]:
    """One for each block of the encoder after the first: `layers` a level, a halving between."""
    found: list[nn.Conv2d] = []
    width = channels[0]
    for level, out in enumerate(channels):
        for _ in range(layers):
            found.append(nn.Conv2d(width, out, 3, padding=1))
            width = out
        if level < len(channels) - 1:
            found.append(_Halving(width, padding))
    return found
