"""Whether a network uses its hints, told without any preprocessor: its loss on pictures that it has
not seen, with their own hints, with one another's, and the base's alone.

The noise, its levels and the empty prompt are the same each time, so that only the network changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor

from .base import Base
from .chance import generator
from .data.cache_filling import encode
from .events import GAIN
from .objective import add_noise, target
from .samples import Pixels, Sample
from .sdxl import as_sampled, given
from .trainable import controlled

OWN_WINS = "own hint wins"
"""The share of pictures whose loss is smaller with the own hint than with another picture's, a half
where both are equal: a half is chance."""
LEVELS = (0.3, 0.45, 0.6, 0.75, 0.9)
"""Noise levels as shares of the schedule. Below the first a U-Net hardly needs a hint: the picture
itself shows through."""
COME = 0.01
"""A gain over this is no chance: an untrained network's is 0."""
TOGETHER = 8
"""Pictures computed at once."""


@dataclass(frozen=True)
class Losses:
    """Losses (levels, n) at each of LEVELS and of each picture: with its own hint, with another's,
    and without control. `other` is nan where there is no other picture of its size."""

    own: Tensor
    other: Tensor
    plain: Tensor

    @classmethod
    def of(cls, parts: Sequence[Losses]) -> Losses:
        """Those of several measures as one."""
        return cls(*(torch.cat(every, 1) for every in zip(*map(astuple, parts), strict=True)))

    def figures(self) -> dict[str, float]:
        """`GAIN`, and `OWN_WINS` where a picture has another one."""
        told = {GAIN: 1 - float(self.own.mean() / self.plain.mean())}
        own, other = self.own.mean(0), self.other.mean(0)
        if (known := ~other.isnan()).any():
            wins = (own < other).double() + (own == other).double() / 2
            told[OWN_WINS] = float(wins[known].mean())
        return told

    @property
    def by_level(self) -> list[float]:
        """The gain at each of LEVELS."""
        gains: list[float] = (1 - self.own.mean(1) / self.plain.mean(1)).tolist()
        return gains


def settled(gains: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` gains is higher than all before them; False for 0.

    Control often comes suddenly, after long without any: nothing counts before a gain of `COME`.
    """
    known = [gain for gain in gains if not math.isnan(gain)]
    if not patience or len(known) <= patience:
        return False
    best = max(known[:-patience])
    return best > COME and max(known[-patience:]) <= best


class GainMeasure:
    """Measures networks on the same pictures of one size; the base alone is measured once."""

    def __init__(self, base: Base, pictures: Pixels, hints: Tensor, seed: int) -> None:
        """`pictures` (n, H, W, 3) uint8 RGB and their `hints` (n, 3, H, W) in 0..1. The base has
        encoders."""
        self._base, self._pictures, self._hints, self._seed = base, pictures, hints, seed
        self._latents: Tensor | None = None
        self._plain: Tensor | None = None

    @torch.no_grad()
    def __call__(self, network: object) -> Losses:
        """The losses of `network`, which lies where the base does."""
        hints = self._hints
        if self._plain is None:
            self._plain = self._loss(None, hints)
        own = self._loss(network, hints)
        alone = len(hints) < 2
        other = own * math.nan if alone else self._loss(network, hints.roll(1, 0))
        return Losses(own, other, self._plain)

    def _loss(self, network: object | None, hints: Tensor) -> Tensor:
        starts = range(0, len(hints), TOGETHER)
        parts = (range(start, min(start + TOGETHER, len(hints))) for start in starts)
        return torch.cat([self._part(network, hints, part) for part in parts], 1)

    def _part(self, network: object | None, hints: Tensor, part: range) -> Tensor:
        base, unet = self._base, self._base.unet
        assert base.encoders is not None
        device, dtype = base.device, unet.dtype
        alphas = base.alphas.to(device, torch.float32)
        clean = self._encoded()[part.start : part.stop].to(device)
        empty = base.encoders.texts([""])
        words = empty.words.to(device, dtype).expand(len(part), -1, -1)
        seen = hints[part.start : part.stop].to(device, dtype)
        pooled = empty.pooled
        if pooled is not None:
            pooled = pooled.to(device, dtype).expand(len(part), -1)
        added = as_sampled(pooled, *seen.shape[-2:])
        losses = []
        for level in LEVELS:
            noise = torch.stack([self._noise(row, level, clean.shape[1:]) for row in part])
            noise = noise.to(device)
            times = torch.full((len(part),), int(level * len(alphas)), device=device)
            noisy = add_noise(clean, noise, alphas, times).to(dtype)
            if network is None:
                predicted = unet(noisy, times, words, return_dict=False, **given(added))[0]
            else:
                predicted = controlled(unet, network, noisy, times, words, seen, added)
            wanted = target(base.prediction, clean, noise, alphas, times)
            losses.append(((predicted.float() - wanted) ** 2).mean(dim=(1, 2, 3)))
        return torch.stack(losses).double().cpu()

    def _noise(self, row: int, level: float, shape: Sequence[int]) -> Tensor:
        chance = generator(self._seed, "gain", row, round(level * 1000))
        return torch.randn(tuple(shape), generator=chance)

    def _encoded(self) -> Tensor:
        """Latents (n, c, h, w) of the pictures: the mean of what the encoder says of each."""
        if self._latents is None:
            encoders = self._base.encoders
            assert encoders is not None
            starts = range(0, len(self._pictures), TOGETHER)
            parts = (self._pictures[start : start + TOGETHER] for start in starts)
            self._latents = torch.cat([encode(encoders, part)[0].float().cpu() for part in parts])
        return self._latents


class GainOf:
    """`GainMeasure` for samples of any sizes."""

    def __init__(self, base: Base, samples: Sequence[Sample], seed: int) -> None:
        """`samples` without their pictures are left out."""
        by_size: dict[tuple[int, ...], list[tuple[Pixels, Tensor]]] = {}
        for one in samples:
            if one.target is not None:
                by_size.setdefault(one.target.shape, []).append((one.target, one.hint))
        self._measures = [
            GainMeasure(base, np.stack(pictures), torch.stack(hints), seed)
            for pictures, hints in (zip(*pairs, strict=True) for pairs in by_size.values())
        ]

    def __bool__(self) -> bool:
        return bool(self._measures)

    def __call__(self, network: object) -> Losses:
        """The losses of `network` on all samples, by their sizes."""
        return Losses.of([measure(network) for measure in self._measures])
