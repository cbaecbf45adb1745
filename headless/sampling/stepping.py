"""What samplers are made of: their types, and the steps that they share.

All integrate the same equation in Karras' variance-exploding form, dx/dsigma = (x - D(x)) / sigma,
where D denoises. With lambda = -log(sigma) its exact solution for a constant D is `towards`. In
this form the alpha of the papers is 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(latent (B, C, h, w), sigma scalar) -> denoised latent."""

DenoiseBoth = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""The same under guidance, and beside it by the negative side alone."""

OnStep = Callable[[int, Tensor, Tensor], None]
"""Called once a step with its index, the denoised latent and the latent it was made from."""

Sample = Callable[..., Tensor]
"""(denoise, latent at sigmas[0], sigmas descending, noise, on_step) -> latent at sigmas[-1]; some
take settings by name besides."""


def slope(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma."""
    return (x - denoised) / sigma


def towards(x: Tensor, denoised: Tensor, kept: Tensor) -> Tensor:
    """Keep a share of what `denoised` would take away: exact where D is constant."""
    return kept * x + (1 - kept) * denoised


def ancestral(sigma: Tensor, target: Tensor, eta: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the sigma to go down to, and the noise to add, so that their squares sum to the
    target's: the posterior of DDPM (Ho et al. 2020, equation 7) in this form, with `eta` times its
    noise.
    """
    up = torch.minimum(target, eta * (target**2 * (sigma**2 - target**2) / sigma**2).sqrt())
    return (target**2 - up**2).sqrt(), up


def log_middle(sigma: Tensor, target: Tensor, share: float = 0.5) -> Tensor:
    """The sigma at a share of the way in lambda; written so, as a path is read at exactly it."""
    start, end = -sigma.log(), -target.log()
    return (-(start + share * (end - start))).exp()
