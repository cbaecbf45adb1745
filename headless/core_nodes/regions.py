"""The core's nodes that say where and when a conditioning holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...ground.latents import LATENT_PIXELS
from ..resize import MAX_RESOLUTION
from ..sampling.conditioning import Conditioning
from .declare import core_node, integer, number

STRENGTH = number(1.0, 0.0, 10.0, 0.01)


@core_node(
    "ConditioningSetArea",
    "conditioning",
    {
        "conditioning": "CONDITIONING",
        "width": integer(64, 64, MAX_RESOLUTION, 8),
        "height": integer(64, 64, MAX_RESOLUTION, 8),
        "x": integer(0, 0, MAX_RESOLUTION, 8),
        "y": integer(0, 0, MAX_RESOLUTION, 8),
        "strength": STRENGTH,
    },
    "CONDITIONING",
)
def set_area(
    conditioning: Conditioning, width: int, height: int, x: int, y: int, strength: float
) -> Conditioning:
    """A text for a rectangle, in pixels."""
    area = tuple(edge // LATENT_PIXELS for edge in (height, width, y, x))
    return _with(conditioning, area=area, strength=strength, set_area_to_bounds=False)


@core_node(
    "ConditioningSetAreaPercentage",
    "conditioning",
    {
        "conditioning": "CONDITIONING",
        "width": number(1.0, 0, 1.0, 0.01),
        "height": number(1.0, 0, 1.0, 0.01),
        "x": number(0, 0, 1.0, 0.01),
        "y": number(0, 0, 1.0, 0.01),
        "strength": STRENGTH,
    },
    "CONDITIONING",
)
def set_area_percentage(
    conditioning: Conditioning, width: float, height: float, x: float, y: float, strength: float
) -> Conditioning:
    """A text for a rectangle, in shares of the picture."""
    area = ("percentage", height, width, y, x)
    return _with(conditioning, area=area, strength=strength, set_area_to_bounds=False)


@core_node(
    "ConditioningSetAreaStrength",
    "conditioning",
    {"conditioning": "CONDITIONING", "strength": STRENGTH},
    "CONDITIONING",
)
def set_area_strength(conditioning: Conditioning, strength: float) -> Conditioning:
    """How much a text's area counts where areas overlap."""
    return _with(conditioning, strength=strength)


@core_node(
    "ConditioningSetMask",
    "conditioning",
    {
        "conditioning": "CONDITIONING",
        "mask": "MASK",
        "strength": STRENGTH,
        "set_cond_area": ["default", "mask bounds"],
    },
    "CONDITIONING",
)
def set_mask(
    conditioning: Conditioning, mask: Tensor, set_cond_area: str, strength: float
) -> Conditioning:
    """A text weighed by `mask` (B, H, W), evaluated in the mask's bounds if wanted."""
    bounds = set_cond_area == "mask bounds"
    mask = mask if mask.ndim == 3 else mask[None]
    return _with(conditioning, mask=mask, set_area_to_bounds=bounds, mask_strength=strength)


@core_node(
    "ConditioningSetTimestepRange",
    "advanced/conditioning",
    {
        "conditioning": "CONDITIONING",
        "start": number(0.0, 0.0, 1.0, 0.001),
        "end": number(1.0, 0.0, 1.0, 0.001),
    },
    "CONDITIONING",
)
def set_timestep_range(conditioning: Conditioning, start: float, end: float) -> Conditioning:
    """A text for a part of sampling: shares of the training timesteps, 0 being pure noise."""
    return _with(conditioning, start_percent=start, end_percent=end)


def _with(conditioning: Conditioning, **settings: Any) -> Conditioning:
    """Return fresh entries with further settings."""
    return [[text, {**old, **settings}] for text, old in conditioning]
