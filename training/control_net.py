"""Trains a ControlNet on a locked U-Net: half of the prompts dropped anew at each step, noise
prediction as the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .copy import (
    control_net_from,
    controlled,
    copied_weights,
    new_weights,
    weights_hash,
)
from .loop import LoopSettings, Progress, train
from .noise import add_noise, min_snr_loss, offset_noise, scaled_linear_alphas, stratified_timesteps
from .parallel import rank
from .settings import NetSettings


@dataclass(frozen=True)
class ControlRecipe:
    """How a ControlNet is trained. `rate` is the copy's learning rate, `fresh_rate` that of zero
    convolutions and hint encoder.
    """

    steps: int
    batch: int = 16
    rate: float = 1e-3
    fresh_rate: float = 3e-3
    prompt_dropout: float = 0.5
    offset: float = 0.3
    gamma: float = 5.0
    hint_channels: tuple[int, ...] = (16, 32, 96, 256)
    hint_gain: float = 1.0
    seed: int = 21
    seconds: float = float("inf")


@dataclass(frozen=True)
class Batch:
    """Scaled `latents` (n, c, h, w), token ids (n, length) of the prompts, `hints` (n, 3, H, W) RGB
    0..1.
    """

    latents: Tensor
    tokens: Tensor
    hints: Tensor


def drop_prompts(tokens: Tensor, empty: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """`tokens` (n, length) with about `share` of the rows replaced by the `empty` prompt's (1,
    length).
    """
    dropped = torch.rand(len(tokens), 1, generator=generator) < share
    return torch.where(dropped, empty[:, : tokens.shape[1]], tokens)


def train_control_net(
    recipe: ControlRecipe,
    unet: Any,
    text: Any,
    empty: Tensor,
    batch_of: Callable[[int, torch.Generator], Batch],
    report: Callable[[Progress], None],
    save: Callable[[Any, int], None],
) -> Any:
    """Train a copy of `unet` on `batch_of(step, generator)` and return it with averaged weights.

    `text` encodes token ids; `empty` is the empty prompt's (1, length). Raises AssertionError
    should the locked weights ever change.
    """
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed + rank())
    unet.requires_grad_(False)
    text.requires_grad_(False)
    before = weights_hash(unet)
    channels = ",".join(map(str, recipe.hint_channels))
    net = NetSettings(hint_channels=channels, hint_gain=recipe.hint_gain)
    copy = control_net_from(unet, net, recipe.seed)
    copy.set_attn_processor(next(iter(unet.attn_processors.values())))
    device = next(unet.parameters()).device
    alphas = scaled_linear_alphas().to(device)

    def loss_of(step: int) -> Tensor:
        batch = batch_of(step, generator)
        latents, hints = batch.latents.to(device), batch.hints.to(device)
        timesteps = stratified_timesteps(len(latents), len(alphas), generator).to(device)
        noise = offset_noise(batch.latents, recipe.offset, generator).to(device)
        noisy = add_noise(latents, noise, alphas, timesteps)
        tokens = drop_prompts(batch.tokens, empty, recipe.prompt_dropout, generator).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            words = text(tokens).last_hidden_state
            predicted = controlled(unet, copy, noisy, timesteps, words, hints)
        return min_snr_loss(predicted.float(), noise, alphas, timesteps, recipe.gamma)

    groups = [
        {"params": copied_weights(copy), "lr": recipe.rate},
        {"params": new_weights(copy), "lr": recipe.fresh_rate},
    ]
    settings = LoopSettings(recipe.steps, recipe.batch, ema_decay=0.995, seconds=recipe.seconds)
    train(copy, groups, loss_of, settings, report, lambda step: save(copy, step))
    if weights_hash(unet) != before:
        raise AssertionError("The locked U-Net changed while its copy was trained.")
    return copy
