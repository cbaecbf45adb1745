"""Guidance resolution weighting: how strongly control acts at each resolution, and on which side.

ControlNet (arXiv 2302.05543), section 3.4, "Classifier-free guidance resolution weighting": the
hint is added to the conditional side only, and the connection at block i is multiplied by
w_i = 64 / h_i, with h_i the size of the block's feature map. At 512 px that is 1 at 64 x 64 and 8
at 8 x 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ground.errors import UserError
from .residuals import Residuals

REFERENCE_HEIGHT = 64
"""The 64 of w_i = 64 / h_i: the latent height of the 512 px pictures of the paper."""

CONDITIONAL = 0
"""How the host marks a conditional chunk of the batch in `cond_or_uncond`; 1 is unconditional."""


def resolution_weighted(residuals: Residuals) -> Residuals:
    """Multiply each residual (B, C, h, w) by 64 / h."""

    def weigh(residual: Tensor) -> Tensor:
        if residual.ndim != 4:
            raise UserError(
                "cfg_rw weighs residuals by their height; this model's have shape "
                f"{tuple(residual.shape)}. Use the mode balanced."
            )
        return residual * (REFERENCE_HEIGHT / residual.shape[-2])

    return residuals.map(weigh)


def conditional_rows(cond_or_uncond: Sequence[int], batch: int) -> Tensor:
    """The indices (int64) of the rows that belong to conditional chunks.

    The host concatenates equal chunks; `cond_or_uncond` names them in order. An empty list means
    that nothing is known about sides: every row counts as conditional.
    """
    if not cond_or_uncond:
        return torch.arange(batch)
    size = batch // len(cond_or_uncond)
    sides = torch.tensor(list(cond_or_uncond)).repeat_interleave(size)
    return (sides == CONDITIONAL).nonzero().flatten()
