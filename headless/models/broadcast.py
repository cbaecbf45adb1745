"""Hints brought to a sampling batch by the core's rules."""

from __future__ import annotations

import torch
from torch import Tensor


def broadcast_batch(images: Tensor, batch: int, conditionings: int) -> Tensor:
    """Spread hints (N, ...) over a sampling batch made of `conditionings` blocks of equal size.

    One hint stays one row and broadcasts by itself, as many hints as rows are taken as they are.
    Otherwise they are cut or repeated to the size of one block, and that block is repeated for
    every conditioning (cond, uncond, areas).
    """
    if images.shape[0] in (1, batch):
        return images
    block = batch // conditionings
    repeats = -(-block // images.shape[0])
    rows = torch.cat([images] * repeats)[:block]
    return rows if block == batch else torch.cat([rows] * conditionings)
