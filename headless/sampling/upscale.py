"""Latents at another size, by the names of ComfyUI's menu."""

from __future__ import annotations

import torch
from torch import Tensor

from ...model_patch.view import middle
from ..resize import resize

METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
NEARLY_PARALLEL = 1e-5  # 1 - |cosine| below which the angle says nothing


def upscale(
    samples: Tensor, width: int, height: int, method: str, crop: str = "disabled"
) -> Tensor:
    """Return latents (B, C, h, w) as (B, C, height, width).

    `method` is one of METHODS; `crop` "center" first cuts the middle to the new aspect ratio.
    """
    if method != "bislerp":
        return resize(samples, width, height, method, crop)
    return bislerp(middle(samples, width / height) if crop == "center" else samples, width, height)


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """Resize latents (B, C, h, w) to (B, C, height, width), along each axis in turn.

    Where `bilinear` mixes two neighbours' channels linearly, this turns the one vector of C
    channels into the other at constant speed (Shoemake 1985) and mixes their lengths linearly, so
    that a mixture of two noises is as strong as either.
    Positions are those of bilinear interpolation with pixel centres at halves.
    """
    stretched = _along_last(samples.float(), width)
    return _along_last(stretched.mT, height).mT.to(samples.dtype)


def _along_last(samples: Tensor, length: int) -> Tensor:
    old = samples.shape[-1]
    centres = torch.arange(length, device=samples.device, dtype=torch.float32) + 0.5
    position = (centres * (old / length) - 0.5).clamp(0, old - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=old - 1)
    return _slerp(samples[..., left], samples[..., right], position - left)


def _slerp(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Turn `first` into `second`, both (B, C, h, w), by `share` (w,) of their angle."""
    lengths = [v.norm(dim=1, keepdim=True) for v in (first, second)]
    one, two = (
        torch.where(n == 0, 0.0, v / n) for v, n in zip((first, second), lengths, strict=True)
    )
    cosine = (one * two).sum(dim=1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    turned = (((1 - share) * angle).sin() * one + (share * angle).sin() * two) / angle.sin()
    turned = turned * (lengths[0] * (1 - share) + lengths[1] * share)
    turned = torch.where(cosine > 1 - NEARLY_PARALLEL, first, turned)
    straight = first * (1 - share) + second * share
    return torch.where(cosine < NEARLY_PARALLEL - 1, straight, turned)
