"""Many pictures at once from the demo model, under any number of controls.

The noise of a picture is that of its seed, as the embedded host and ComfyUI draw it, so that the
pictures are those of `controlstack.demo.score_host` but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from controlstack.demo.scenes import SIZE
from controlstack.training.sampling import sample as draw

from . import world as world_module
from .world import World, hint_tensor, pixels_of

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Control:
    """One network with its `hints`, uint8 RGB (n, 128, 128, 3), at strength 1.

    `weighted`: the paper's resolution weighting of section 3.4. Residuals reach the conditional
    side alone, each multiplied by the largest feature map's height over its own.
    """

    network: Any
    hints: Pictures
    weighted: bool = False


@dataclass(frozen=True)
class Sampling:
    """How pictures are made: DDIM; `batch` of them at once; in fp32 if not in `halves`.
    `scale` is what the base's latents are multiplied by, beside the demo's own.
    """

    steps: int = 20
    guidance: float = 3.0
    batch: int = 16
    halves: bool = True
    scale: float = 1.0


@torch.inference_mode()
def sample(
    world: World,
    prompts: Sequence[str],
    seeds: Sequence[int],
    controls: Sequence[Control] = (),
    how: Sampling | None = None,
    unet: Any = None,
) -> Pictures:
    """Pictures uint8 RGB (n, 128, 128, 3), one a prompt; `unet` in place of the demo's own."""
    how = how or Sampling()
    base, empty = world.base(unet or world.unet), world.words([""])
    blank = np.zeros((len(prompts), SIZE, SIZE, 3), np.uint8)
    hints = np.concatenate([c.hints for c in controls], axis=-1) if controls else blank
    network = _Stack(controls) if controls else None
    parts = []
    for start in range(0, len(prompts), how.batch):
        these = slice(start, start + how.batch)
        words = world.words(prompts[these])
        with torch.autocast("cpu", torch.bfloat16, enabled=how.halves and world_module.HALVES):
            latents = draw(
                base, network, hint_tensor(hints[these]), words, empty,
                seeds[these], how.steps, how.guidance,
            )  # fmt: skip
        decoded = world.vae.decode(latents / (how.scale * world.vae.config.scaling_factor)).sample
        parts.append(pixels_of(decoded))
    return np.concatenate(parts)


class _Stack:
    """Several networks called as one, whose hints are theirs along the channels."""

    def __init__(self, controls: Sequence[Control]) -> None:
        self._controls = controls

    def __call__(
        self, noisy: Tensor, timesteps: Tensor, words: Tensor, hints: Tensor, return_dict: bool
    ) -> tuple[list[Tensor], Tensor]:
        stacks = [
            _residuals(control, noisy, timesteps, words, part)
            for control, part in zip(self._controls, hints.split(3, dim=1), strict=True)
        ]
        *down, middle = (sum(parts[1:], parts[0]) for parts in zip(*stacks, strict=True))
        return down, middle


def _residuals(
    control: Control, noisy: Tensor, timesteps: Tensor, words: Tensor, hints: Tensor
) -> list[Tensor]:
    down, middle = control.network(noisy, timesteps, words, hints, return_dict=False)
    found = [*down, middle]
    return [_conditional(one, noisy.shape[-2]) for one in found] if control.weighted else found


def _conditional(residual: Tensor, height: int) -> Tensor:
    """`residual` weighted, and silent on the unconditional side, which is the first half."""
    wanted = residual.chunk(2)[1] * (height / residual.shape[-2])
    return torch.cat([torch.zeros_like(wanted), wanted])
