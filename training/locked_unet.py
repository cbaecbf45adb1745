"""The locked U-Net as a step of training uses it, and the part of it that may be unlocked."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .sdxl import Added, given
from .trainable import lend

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""A precision's type of numbers, where it is not fp32."""


def computes_in(precision: str) -> torch.dtype:
    """The numbers in which a locked U-Net computes: fp32, or those of half the size."""
    return HALVES.get(precision, torch.float32)


def locked(unet: Any, precision: str) -> Any:
    """`unet` in the numbers it computes in: itself, or a copy of half the size."""
    unet.requires_grad_(False)
    wanted = computes_in(precision)
    return unet if unet.dtype == wanted else _copied(unet, wanted)


def unlocked(unet: Any) -> Any:
    """A U-Net whose decoder is a copy in fp32, to be trained; all else is shared with `unet`.

    Source: lllyasviel/ControlNet, cldm/cldm.py, `sd_locked`: the output blocks and the layers after
    them are trained. https://github.com/lllyasviel/ControlNet
    """
    unet.requires_grad_(False)
    if unet.dtype != torch.float32:
        unet = _copied(unet, torch.float32)
    mine = {id(weight) for part in decoder(unet) for weight in part.parameters()}
    shared = {id(p): p for p in unet.parameters() if id(p) not in mine}
    changed = copy.deepcopy(unet, shared)
    decoder(changed).float().requires_grad_(True)
    return changed


def _copied(unet: Any, dtype: torch.dtype) -> Any:
    """A copy whose weights are of `dtype`, made one by one, so that nothing is there thrice."""
    weights = {id(p): nn.Parameter(p.detach().to(dtype), False) for p in unet.parameters()}
    return copy.deepcopy(unet, weights)


def decoder(unet: Any) -> nn.ModuleList:
    """The parts of a U-Net after its middle block."""
    return nn.ModuleList([unet.up_blocks, unet.conv_norm_out, unet.conv_out])


@contextmanager
def moved(module: nn.Module, device: torch.device | str) -> Iterator[None]:
    """Inside the block `module` is on `device`, and after it where it was."""
    before = next(module.parameters()).device
    module.to(device)
    try:
        yield
    finally:
        module.to(before)


@contextmanager
def lent_decoder(unet: Any, changed: Any) -> Iterator[None]:
    """Inside the block `unet` computes with the decoder of `changed`, and after it with its own."""
    if unet is changed:
        yield
        return
    pairs = list(zip(decoder(unet).parameters(), decoder(changed).parameters(), strict=True))
    own = [mine.data for mine, _ in pairs]
    for mine, other in pairs:
        mine.data = other.data.to(mine.dtype)
    try:
        yield
    finally:
        for (mine, _), weights in zip(pairs, own, strict=True):
            mine.data = weights


@contextmanager
def checkpointing(modules: list[Any], wanted: bool) -> Iterator[None]:
    """Inside the block the modules keep no activations but compute them again, if `wanted`."""
    changed = [m for m in modules if wanted and not m.is_gradient_checkpointing]
    for module in changed:
        module.enable_gradient_checkpointing()
    try:
        yield
    finally:
        for module in changed:
            module.disable_gradient_checkpointing()


def predict(
    unet: Any,
    network: Any,
    noisy: Tensor,
    timesteps: Tensor,
    words: Tensor,
    hints: Tensor,
    added: Added | None = None,
) -> Tensor:
    """The U-Net's prediction (n, c, h, w) with the network's residuals.

    `noisy` (n, c, h, w), `timesteps` (n,), `words` (n, tokens, width), `hints` (n, 3, 8h, 8w) RGB
    in 0..1; `added` is what SDXL is told beside them.
    The network computes as autocast says; so does an unlocked U-Net. A locked one computes in the
    numbers of its weights, which takes less memory than autocast's mixture.
    """
    lend(unet, network)
    also = given(added)
    down, middle = network(noisy, timesteps, words, hints, return_dict=False, **also)
    autocast: Any = nullcontext()
    if not unet.conv_out.weight.requires_grad:
        autocast = torch.autocast(noisy.device.type, enabled=False)
        dtype = unet.conv_out.weight.dtype  # diffusers' unet.dtype looks at all modules each time
        noisy, words, middle = (one.to(dtype) for one in (noisy, words, middle))
        down = [x.to(dtype) for x in down]
    with autocast:
        result: Tensor = unet(
            noisy, timesteps, words, return_dict=False, **also,
            down_block_additional_residuals=down, mid_block_additional_residual=middle,
        )[0]  # fmt: skip
    return result
