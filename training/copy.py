"""The trainable copy: the locked U-Net's encoder with zero convolutions and a hint encoder beside
it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn


def trainable_copy(unet: Any, hint_channels: tuple[int, ...] = (16, 32, 96, 256)) -> Any:
    """A `ControlNetModel` that starts as `unet`'s encoder and, by its zero convolutions, adds
    exactly nothing to it.

    `hint_channels` are the widths of the hint encoder, which works on the full picture: at 128 px
    the usual ones (the default) cost as much as a small U-Net.
    """
    from diffusers import ControlNetModel

    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=hint_channels)


@torch.no_grad()
def amplify_hints(copy: Any, gain: float) -> None:
    """Multiply the hint encoder's fresh weights. The usual initialisation weakens a signal about
    threefold a layer: a thin line is then lost among the biases, and training waits for it. 2.5
    keeps its strength.
    """
    encoder = copy.controlnet_cond_embedding
    for convolution in (encoder.conv_in, *encoder.blocks):
        convolution.weight.mul_(gain)


def zero_convolutions(copy: Any) -> list[nn.Parameter]:
    """The parameters that start from scratch: zero convolutions and hint encoder. They bear a
    higher learning rate.
    """
    fresh = (copy.controlnet_down_blocks, copy.controlnet_mid_block, copy.controlnet_cond_embedding)
    return [parameter for part in fresh for parameter in part.parameters()]


def copied_weights(copy: Any) -> list[nn.Parameter]:
    """The parameters that start as the U-Net's."""
    fresh = {id(parameter) for parameter in zero_convolutions(copy)}
    return [parameter for parameter in copy.parameters() if id(parameter) not in fresh]


def controlled(
    unet: Any, copy: Any, noisy: Tensor, timesteps: Tensor, words: Tensor, hint: Tensor
) -> Tensor:
    """The locked U-Net's prediction (n, c, h, w) with the copy's residuals; `hint` is RGB 0..1 at
    picture size.
    """
    down, middle = copy(noisy, timesteps, words, hint, return_dict=False)
    result: Tensor = unet(
        noisy, timesteps, words, return_dict=False,
        down_block_additional_residuals=down, mid_block_additional_residual=middle,
    )[0]  # fmt: skip
    return result


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of all weights, to show that locked ones stayed as they were."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(
            value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
