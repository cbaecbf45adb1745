"""What a step of training is given. The loop decides which rows, the data what they look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .sdxl import Added


@dataclass(frozen=True)
class Pick:
    """One row of the data at one step.

    `seed` decides all that is random about it (flip, crop, the latent drawn from its moments), so
    that a step looks the same after a resume and in any number of processes. `drop`: its prompt is
    the empty one this time.
    """

    row: int
    seed: int
    drop: bool


@dataclass(frozen=True)
class Batch:
    """`latents` (n, c, h, w) in the U-Net's scale, `words` (n, tokens, width) embedded prompts,
    `hints` (n, 3, H, W) RGB in 0..1; all on the CPU or on the device that trains. `added` is what
    SDXL is told beside it, None for other bases.
    """

    latents: Tensor
    words: Tensor
    hints: Tensor
    added: Added | None = None


class Batches(Protocol):
    """Training data, as the loop asks for it."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def load(self, picks: Iterable[Sequence[Pick]], workers: int = 0) -> Iterator[Batch]:
        """One batch for each list of picks, in their order; `workers` processes read ahead."""
        ...
