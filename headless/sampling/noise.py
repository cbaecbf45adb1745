"""Where randomness comes from: a seed gives the numbers that it gives in ComfyUI.

The starting noise is always drawn on the CPU, so a seed means the same picture on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CPU_SEED_OFFSET = 1
"""How far the seed of each step's noise is from the starting noise's on a CPU, as in ComfyUI after
0.3.64: with the same seed the first step would add the starting noise once more."""

Noise = Callable[[Tensor, Tensor], Tensor]
"""(sigma, next sigma) -> standard normal noise of the latent's shape for that step."""


def starting_noise(latent: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """Return standard normal noise of `latent`'s shape and dtype on the CPU.

    With `batch_index`, row i is the noise that row batch_index[i] of a full batch would get, so
    that one picture of a batch can be made again alone.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int) -> Tensor:
        return torch.randn((rows, *latent.shape[1:]), generator=generator, dtype=latent.dtype)

    if batch_index is None:
        return draw(latent.shape[0])
    rows = [draw(1) for _ in range(max(batch_index) + 1)]
    return torch.cat([rows[index] for index in batch_index])


def gaussian(x: Tensor, sigmas: Tensor, seed: int) -> Noise:
    """Return independent noise for each step, drawn where the latent lies."""
    offset = CPU_SEED_OFFSET if x.device.type == "cpu" else 0
    generator = torch.Generator(x.device).manual_seed((seed + offset) % 2**64)
    return lambda *_: torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def brownian(x: Tensor, sigmas: Tensor, seed: int, *, there: bool = False) -> Noise:
    """Return the increments of one Brownian path over sigma, scaled to unit variance.

    Steps that share a stretch of sigma share its noise, so that more steps refine the same picture.
    The path is torchsde's, kept on the CPU or (`there`) where the latent lies (Li et al. 2020,
    https://arxiv.org/abs/2001.01328).
    """
    import torchsde

    # torchsde keeps times to six decimals, and warns of a query that is a rounding outside of them.
    low, high = (round(float(end), 6) for end in (sigmas[sigmas > 0].min(), sigmas.max()))
    start = torch.zeros_like(x, device=x.device if there else "cpu")
    path = torchsde.BrownianTree(low, start, high, entropy=seed)

    def inside(sigma: Tensor) -> float:
        return min(max(float(sigma), low), high)

    def increment(sigma: Tensor, target: Tensor) -> Tensor:
        # The path is read from the lower sigma up; its sign is turned where sampling walks down.
        if target > sigma:
            return -increment(target, sigma)
        rise: Tensor = path(inside(target), inside(sigma))
        return -rise.to(x) / (sigma - target).sqrt()

    return increment
