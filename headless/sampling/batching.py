"""One evaluation of the U-Net for every entry of every side, in as few calls as shapes allow.

Entries of equal shape under the same control go through the U-Net together; each side's results are
averaged by their weights (mask, strength, feathered area).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..batch_rows import of_length
from .base_model import BaseModel
from .conditioning import Area, Cond

FEATHER = 8
"""Latent pixels over which an area without a mask fades out, as in ComfyUI."""

LONGEST_REPEAT = 4
"""Texts of unlike length share a call where the shorter is repeated at most so often."""


@dataclass(frozen=True, eq=False)
class Part:
    """One entry's share of a step. A `weight` of None is 1 everywhere."""

    side: int
    x: Tensor  # (B, 4, h, w), h x w of the area
    weight: Tensor | None  # (B or 1, 1, h, w)
    area: Area | None
    conds: dict[str, Tensor]
    control: Any
    uuid: object


def calc_cond_batch(
    model: BaseModel,
    sides: Sequence[Sequence[Cond] | None],
    x: Tensor,
    sigma: Tensor,
    model_options: dict[str, Any],
) -> list[Tensor]:
    """Return each side's denoised latents for `x` (B, 4, h, w) at `sigma` (B,).

    A side that is None, or has no entry active at this sigma, gives zeros.
    """
    now = float(sigma[0])
    parts = [
        _part(side, cond, x)
        for side, conds in enumerate(sides)
        for cond in conds or ()
        if cond.get("timestep_end", now) <= now <= cond.get("timestep_start", now)
    ]
    results: list[list[tuple[Part, Tensor]]] = [[] for _ in sides]
    while parts:
        batch = [part for part in parts if _shares_call(parts[0], part)]
        parts = [part for part in parts if part not in batch]
        batch.reverse()  # ComfyUI's order: cond_or_uncond is [1, 0] for one entry a side
        for part, denoised in zip(
            batch, _evaluate(model, batch, sigma, model_options), strict=True
        ):
            results[part.side].append((part, denoised))
    return [_average(result, x) for result in results]


def _part(side: int, cond: Cond, x: Tensor) -> Part:
    area: Area | None = cond.get("area")
    conds = {key: of_length(value, len(x)) for key, value in cond["model_conds"].items()}
    if "c_concat" in conds:
        conds["c_concat"] = _cut(conds["c_concat"], area)
    return Part(
        side=side,
        x=_cut(x, area),
        weight=_weight(cond, area, x),
        area=area,
        conds=conds,
        control=cond.get("control"),
        uuid=cond["uuid"],
    )


def _weight(cond: Cond, area: Area | None, x: Tensor) -> Tensor | None:
    strength: float = cond.get("strength", 1.0)
    if "mask" in cond:
        mask_strength: float = cond.get("mask_strength", 1.0)
        mask = of_length(cond["mask"][: len(x), None].to(x), len(x))
        return _cut(mask, area) * mask_strength * strength
    if area is not None:
        height, width, top, left = area
        rows = _feathered(height, top > 0, top + height < x.shape[2], x)
        columns = _feathered(width, left > 0, left + width < x.shape[3], x)
        return strength * rows[:, None] * columns[None, None]
    return None if strength == 1.0 else x.new_full((1, 1, 1, 1), strength)


def _feathered(length: int, at_start: bool, at_end: bool, like: Tensor) -> Tensor:
    """Return 1s (`length`,) that fade towards the ends which lie inside the picture."""
    fade = min(FEATHER, length // 4)
    ramp = torch.arange(1, fade + 1, device=like.device, dtype=like.dtype) / max(fade, 1)
    weights = like.new_ones(length)
    if at_start:
        weights[:fade] *= ramp
    if at_end:
        weights[length - fade :] *= ramp.flip(0)
    return weights


def _shares_call(first: Part, other: Part) -> bool:
    if first.x.shape != other.x.shape or first.control is not other.control:
        return False
    if first.conds.keys() != other.conds.keys():
        return False
    one, two = first.conds["c_crossattn"].shape[1], other.conds["c_crossattn"].shape[1]
    return math.lcm(one, two) <= LONGEST_REPEAT * min(one, two)


def _evaluate(
    model: BaseModel, batch: Sequence[Part], sigma: Tensor, model_options: dict[str, Any]
) -> Sequence[Tensor]:
    x = torch.cat([part.x for part in batch])
    sigmas = sigma.repeat(len(batch))
    options = {
        **model_options.get("transformer_options", {}),
        "cond_or_uncond": [part.side for part in batch],
        "uuids": [part.uuid for part in batch],
        "sigmas": sigma,
    }
    conds: dict[str, Any] = {"c_crossattn": _texts([part.conds["c_crossattn"] for part in batch])}
    for name in batch[0].conds.keys() - conds.keys():
        conds[name] = torch.cat([part.conds[name] for part in batch])
    conds["transformer_options"] = options
    control = batch[0].control
    if control is not None:
        conds["control"] = control.get_control(x, sigmas, conds, len(batch), options)
    return model.apply_model(x, sigmas, **conds).chunk(len(batch))


def _texts(texts: Sequence[Tensor]) -> Tensor:
    """Concatenate texts (B, tokens, width); a repeated text attends as the text itself does."""
    tokens = math.lcm(*(text.shape[1] for text in texts))
    return torch.cat([text.repeat(1, tokens // text.shape[1], 1) for text in texts])


def _average(results: Sequence[tuple[Part, Tensor]], x: Tensor) -> Tensor:
    if len(results) == 1 and results[0][0].weight is None:
        return results[0][1]
    total = torch.zeros_like(x)
    weights = torch.full_like(x, 1e-37)  # where no entry reaches, the side gives 0
    for part, denoised in results:
        weight = denoised.new_ones(()) if part.weight is None else part.weight
        _cut(total, part.area).add_(denoised * weight)
        _cut(weights, part.area).add_(weight)
    return total / weights


def _cut(tensor: Tensor, area: Area | None) -> Tensor:
    """View the part of (B, C, h, w) inside an area."""
    if area is None:
        return tensor
    height, width, top, left = area
    return tensor[..., top : top + height, left : left + width]
