"""What a picture looks like while it is sampled, for whoever wants to look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

Look: TypeAlias = Callable[[Tensor], "Image.Image | None"]
"""A denoised latent (B, 4, h, w), as the sampler has it -> a small picture of its first row."""

RGB = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
)
"""Red, green and blue in -1..1 of each channel of Stable Diffusion 1.x's latents, fitted by keturn
(https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204)."""

SHARE = 0.01
"""Of the time of a run, what pictures of it may take: a step is passed over until they fit in."""

_LOOK: ContextVar[Look | None] = ContextVar("controlstack_look", default=None)


@contextmanager
def shown_by(look: Look) -> Iterator[None]:
    """Make pictures of steps by `look` inside the block, of each where that takes next to nothing;
    nobody looks outside of one.
    """
    token = _LOOK.set(_sparing(look))
    try:
        yield
    finally:
        _LOOK.reset(token)


def picture(denoised: Tensor) -> Image.Image | None:
    """What a step's latent (B, C, h, w) looks like, if anybody looks."""
    look = _LOOK.get()
    return None if look is None else look(denoised)


def _sparing(look: Look) -> Look:
    """`look`, as often as it takes no more than `SHARE` of the time."""
    free = 0.0

    def sparing(denoised: Tensor) -> Image.Image | None:
        nonlocal free
        began = time.perf_counter()
        if began < free:
            return None
        made = look(denoised)
        free = began + (time.perf_counter() - began) / SHARE
        return made

    return sparing


def roughly(denoised: Tensor) -> Image.Image | None:
    """The first row in the colours of `RGB`, a pixel for each of the latent's (w x h)."""
    if denoised.shape[1] != len(RGB):
        return None
    factors = torch.tensor(RGB, dtype=torch.float32)
    return image_of(torch.einsum("chw,cr->hwr", denoised[0].float().cpu(), factors))


def image_of(values: Tensor) -> Image.Image:
    """A picture of values (H, W, 3) in -1..1; others are clipped."""
    levels = ((values + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.cpu().numpy())
