"""The core's nodes that change latents by a function: at once, or at each step of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...ground.errors import UserError
from ..sampling.guider import BEFORE_GUIDANCE
from ..sampling.model import Model
from ..sampling.sample import Latent
from .declare import core_node, integer, number
from .pixels import filtered, sharpening

Operation: TypeAlias = Callable[..., Tensor]
"""Called with `latent`, (B, C, h, w)."""

_MENU = "model/latent/advanced/operations"


@core_node(
    "LatentApplyOperation",
    _MENU,
    {"samples": "LATENT", "operation": "LATENT_OPERATION"},
    "LATENT",
    EXPERIMENTAL=True,
)
def apply(samples: Latent, operation: Operation) -> Latent:
    """Latents after an operation."""
    return {**samples, "samples": operation(latent=samples["samples"])}


@core_node(
    "LatentApplyOperationCFG",
    _MENU,
    {"model": "MODEL", "operation": "LATENT_OPERATION"},
    "MODEL",
    EXPERIMENTAL=True,
)
def apply_in_guidance(model: Model, operation: Operation) -> Model:
    """A model whose guidance, from the negative towards the positive, goes through an operation at
    each step.
    """

    def change(args: Mapping[str, Any]) -> list[Tensor]:
        positive, *others = args["conds_out"]
        if len(others) == 1:
            return [operation(latent=positive - others[0]) + others[0], *others]
        return [operation(latent=positive), *others]

    patched = model.clone()
    options = patched.model_options
    options[BEFORE_GUIDANCE] = [*options.get(BEFORE_GUIDANCE, ()), change]
    return patched


def _check_multiplier(multiplier: float) -> None:
    if multiplier == 0:
        raise UserError("multiplier is 0, which leaves no numbers of a latent; give more than 0")


@core_node(
    "LatentOperationTonemapReinhard",
    _MENU,
    {"multiplier": number(1.0, 0.0, 100.0, 0.01)},
    "LATENT_OPERATION",
    check=_check_multiplier,
    EXPERIMENTAL=True,
)
def tone_map(multiplier: float) -> Operation:
    """Lengths over the channels made shorter by Reinhard's curve x / (x + 1), the more the longer:
    `multiplier` times five deviations over the mean is their limit.
    """
    _check_multiplier(multiplier)

    def operation(latent: Tensor, **_: Any) -> Tensor:
        length: Tensor = (torch.linalg.vector_norm(latent, dim=1) + 1e-10)[:, None]
        axes = list(range(1, length.ndim))
        mean, spread = (f(length, dim=axes, keepdim=True) for f in (torch.mean, torch.std))
        top = (spread * 5 + mean) * multiplier
        inside = length * (1.0 / top)
        mapped: Tensor = latent / length * (inside / (inside + 1.0) * top)
        return mapped

    return operation


@core_node(
    "LatentOperationSharpen",
    _MENU,
    {
        "sharpen_radius": integer(9, 1, 31, 1, advanced=True),
        "sigma": number(1.0, 0.1, 10.0, 0.1, advanced=True),
        "alpha": number(0.1, 0.0, 5.0, 0.01, advanced=True),
    },
    "LATENT_OPERATION",
    EXPERIMENTAL=True,
)
def sharpen(sharpen_radius: int, sigma: float, alpha: float) -> Operation:
    """Directions over the channels sharpened as ImageSharpen does it; lengths stay."""

    def operation(latent: Tensor, **_: Any) -> Tensor:
        length: Tensor = (torch.linalg.vector_norm(latent, dim=1) + 1e-6)[:, None]
        kernel = sharpening(sharpen_radius, sigma, alpha)
        sharper = filtered((latent / length).movedim(1, -1), kernel).movedim(-1, 1)
        return length * sharper

    return operation
