"""CONDITIONING, made ready for one sampling run.

A CONDITIONING is ComfyUI's list of [text (B, tokens, width), settings]. For a run each entry
becomes one dict with the settings under ComfyUI's names, `model_conds` for the U-Net, and what was
relative (percentages, mask sizes) made absolute. Areas are (height, width, y, x) in latent pixels.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...ground.errors import UserError
from ..batch_rows import spread
from .base_model import BaseModel
from .inpaint import extra_channels
from .size_conditioning import y_of
from .upscale import upscale

Conditioning = list[list[Any]]
Cond = dict[str, Any]
Area = tuple[int, int, int, int]

SMALLEST_AREA = 8  # latent pixels; ComfyUI's least edge of an area that follows a mask


def convert(conditioning: Conditioning) -> list[Cond]:
    """Return one fresh dict for each entry of a CONDITIONING."""
    return [
        {**settings, "cross_attn": text, "model_conds": {}, "uuid": uuid.uuid4()}
        for text, settings in conditioning
    ]


def prepare(
    model: BaseModel,
    sides: Sequence[list[Cond]],
    noise: Tensor,
    latent: Tensor,
    denoise_mask: Tensor | None,
) -> list[list[Cond]]:
    """Return all sides, the positive one first, made ready for latents of `noise`'s shape
    (B, 4, h, w).

    Areas and masks fit the latent, percentages are sigmas, every area of one side has a counterpart
    on the others, and control of the positive side that asks for it is on all. Nothing is written
    into the input.
    """
    size = (int(noise.shape[-2]), int(noise.shape[-1]))
    channels = extra_channels(model, latent, denoise_mask)

    def ready(cond: Cond) -> Cond:
        cond = _with_sigmas(model, _with_mask(_with_area(cond, size), size, noise.device))
        own = channels if channels is None else _told_channels(model, cond, noise)
        given = channels if own is None else own
        return {**cond, "model_conds": _model_conds(model, cond, size, given)}

    made = [[ready(cond) for cond in side] for side in sides]
    # One side after the other: what one gains counts when the next is completed.
    for turn in range(len(made)):
        made = [
            side if other == turn else _with_counterparts(side, made[turn])
            for other, side in enumerate(made)
        ]
    return [made[0], *(_with_control(side, made[0]) for side in made[1:])]


def _told_channels(model: BaseModel, cond: Cond, noise: Tensor) -> Tensor | None:
    """The further channels of an inpainting U-Net that the conditioning itself brings, as
    InpaintModelConditioning gives them; None where it brings none.
    """
    if "concat_latent_image" not in cond:
        return None
    size = (int(noise.shape[-1]), int(noise.shape[-2]))
    latent = model.process_latent_in(cond["concat_latent_image"].to(noise.device))
    mask = cond["concat_mask"].to(noise.device).reshape(-1, 1, *cond["concat_mask"].shape[-2:])
    if latent.shape[1:] != noise.shape[1:]:
        latent = upscale(latent, *size, "bilinear", "center")
    if mask.shape[-2:] != noise.shape[-2:]:
        mask = upscale(mask, *size, "bilinear", "center")
    return extra_channels(model, spread(latent, len(noise)), spread(mask, len(noise)))


def _with_area(cond: Cond, size: tuple[int, int]) -> Cond:
    if "area" not in cond:
        return cond
    area = cond["area"]
    if area[0] == "percentage":
        share = area[1:]
        if not all(map(math.isfinite, share)):
            told = ", ".join(f"{one:g}" for one in share)
            raise UserError(
                f"A conditioning area's height, width, y and x are {told} of the picture: give "
                "numbers from 0 to 1."
            )
        area = (
            max(1, round(share[0] * size[0])),
            max(1, round(share[1] * size[1])),
            round(share[2] * size[0]),
            round(share[3] * size[1]),
        )
    height, width, y, x = area
    if y >= size[0] or x >= size[1]:
        raise UserError(
            f"A conditioning area begins at x {x * 8}, y {y * 8} pixels and the picture is "
            f"{size[1] * 8} x {size[0] * 8}: move the area into the picture."
        )
    return {**cond, "area": (min(height, size[0] - y), min(width, size[1] - x), y, x)}


def _with_mask(cond: Cond, size: tuple[int, int], device: torch.device) -> Cond:
    if "mask" not in cond:
        return cond
    mask: Tensor = cond["mask"].to(device)
    mask = mask if mask.ndim == 3 else mask[None]
    if mask.shape[1:] != size:
        mask = F.interpolate(mask[:, None], size=size, mode="bilinear")[:, 0]
    if not cond.get("set_area_to_bounds", False):
        return {**cond, "mask": mask}
    return {**cond, "mask": mask, "area": _bounds(mask, size)}


def _bounds(mask: Tensor, size: tuple[int, int]) -> Area:
    """Return the smallest area that holds all of a mask (B, h, w), at least 8 x 8."""
    rows, columns = mask.abs().amax(dim=0).nonzero(as_tuple=True)
    if not len(rows):
        return (min(SMALLEST_AREA, size[0]), min(SMALLEST_AREA, size[1]), 0, 0)
    top, left = int(rows.min()), int(columns.min())
    height = max(SMALLEST_AREA, int(rows.max()) - top + 1)
    width = max(SMALLEST_AREA, int(columns.max()) - left + 1)
    return (min(height, size[0] - top), min(width, size[1] - left), top, left)


def _with_sigmas(model: BaseModel, cond: Cond) -> Cond:
    to_sigma = model.model_sampling.percent_to_sigma
    sigmas = {
        f"timestep_{end}": to_sigma(cond[f"{end}_percent"])
        for end in ("start", "end")
        if f"{end}_percent" in cond
    }
    return {**cond, **sigmas}


def _model_conds(
    model: BaseModel, cond: Cond, size: tuple[int, int], channels: Tensor | None
) -> dict[str, Tensor]:
    text: Tensor = cond["cross_attn"]
    width = model.unet_config["cross_attention_dim"]
    if text.shape[-1] != width:
        raise UserError(
            f"The text embedding is {text.shape[-1]} wide and the U-Net takes {width}: use the "
            "CLIP that belongs to this model (768 is SD 1.x, 1024 is SD 2.x, 2048 is SDXL)."
        )
    conds = {"c_crossattn": text.to(model.device)}
    if model.y_width:
        conds["y"] = y_of(model.y_width, cond, size).to(model.device)
    return conds if channels is None else {**conds, "c_concat": channels}


def _with_counterparts(side: list[Cond], other: list[Cond]) -> list[Cond]:
    """Return `side` with an entry for each area that only `other` has.

    It takes its text from the smallest entry of `side` around that area, and everything else from
    its counterpart, so that guidance compares like with like.
    """
    side = list(side)
    for cond in other:
        if "area" not in cond:
            continue
        around = [c for c in side if "area" not in c or _inside(cond["area"], c["area"])]
        if not around:
            continue
        smallest = min(around, key=_extent)
        if smallest.get("area") != cond["area"]:
            side.append({**cond, "model_conds": dict(smallest["model_conds"])})
    return side


def _inside(inner: Area, outer: Area) -> bool:
    height, width, y, x = inner
    return (
        y >= outer[2]
        and x >= outer[3]
        and y + height <= outer[2] + outer[0]
        and x + width <= outer[3] + outer[1]
    )


def _extent(cond: Cond) -> float:
    area = cond.get("area")
    return float("inf") if area is None else float(area[0] * area[1])


def _with_control(negative: list[Cond], positive: list[Cond]) -> list[Cond]:
    """Return `negative` with the control that the positive side shares with it.

    Entries with an area take no part; a negative side that has control of its own keeps it.
    """
    shared = [
        cond["control"]
        for cond in positive
        if "area" not in cond
        and cond.get("control") is not None
        and cond.get("control_apply_to_uncond", False)
    ]
    whole = [index for index, cond in enumerate(negative) if "area" not in cond]
    if not whole or any(negative[index].get("control") is not None for index in whole):
        return negative
    negative = list(negative)
    for turn, control in enumerate(shared):
        index = whole[turn % len(whole)]
        negative[index] = {**negative[index], "control": control}
    return negative
