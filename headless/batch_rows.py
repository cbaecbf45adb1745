"""A batch brought to a number of rows, in the two ways that ComfyUI has."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def of_length(batch: Tensor, length: int) -> Tensor:
    """A batch (B, ...) cut to `length`, or begun anew until it is as long (`comfy/utils.py`,
    `repeat_to_batch_size`); the batch itself where it is as long already.
    """
    if len(batch) == length:
        return batch
    times = -(-length // len(batch))
    return batch.repeat(times, *[1] * (batch.ndim - 1))[:length] if times > 1 else batch[:length]


def spread(batch: Tensor, length: int) -> Tensor:
    """A batch (B, ...) with `length` rows, 1 or more, taken evenly over all of it: of two in five
    the first twice, then the second thrice (`comfy/utils.py`, `resize_to_batch_size`).
    """
    count = len(batch)
    if length in (1, count):
        return batch[:length]
    if length < count:
        places = [round(row * ((count - 1) / (length - 1))) for row in range(length)]
    else:
        places = [math.floor((row + 0.5) * (count / length)) for row in range(length)]
    return batch[[min(place, count - 1) for place in places]]


def extended(batch: Tensor, length: int) -> Tensor:
    """A batch (B, ...) with its last row again until it has `length` rows, B or more."""
    lacking = length - len(batch)
    last = batch[-1:].expand(lacking, *batch.shape[1:])
    return torch.cat([batch, last]) if lacking else batch
