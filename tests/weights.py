"""Random weights any machine can make again: drawn by numpy, from a seed and a tensor's name."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


def drawn(shapes: Mapping[str, Sequence[int]], seed: int, gain: float = 1.0) -> dict[str, Tensor]:
    """Tensors of these names and shapes, float32.

    Matrices and kernels: normal, of variance `gain`^2 / fan-in, so that activations keep their size
    from layer to layer. One-dimensional "weight"s (norms): 1 + normal / 10. Biases: normal / 50.
    A tensor depends on `seed` and its own name only, not on what else is drawn.
    """
    return {name: _drawn(name, tuple(shape), seed, gain) for name, shape in shapes.items()}


def _drawn(name: str, shape: tuple[int, ...], seed: int, gain: float) -> Tensor:
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
    if len(shape) > 1:
        fan_in = values[0].numel()
        return values * (gain * fan_in**-0.5)
    return values / 10 + 1 if name.endswith("weight") else values / 50
