"""The optimiser and how its learning rate changes over a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..ground.errors import UserError
from .settings import TrainingSettings

_POLYNOMIAL_END = 1e-7
"""What diffusers' polynomial schedule ends at; it refuses to begin lower."""


def make_optimiser(
    groups: Iterable[dict[str, Any]], settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over `groups` (each with `params` and `lr`), fused where that is there, or with a state
    of 8 bits. The settings' rate is the optimiser's own, from which some schedules start.

    Raises UserError where "adamw8bit" is asked for without bitsandbytes.
    """
    rate, decay = settings.rate, settings.weight_decay
    if settings.optimizer == "adamw":
        fused = device.type in ("cpu", "cuda")
        return torch.optim.AdamW(list(groups), rate, weight_decay=decay, fused=fused)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError(
            "The optimizer adamw8bit needs bitsandbytes, which is not installed: "
            "pip install bitsandbytes, or set optimizer to adamw."
        ) from error
    eight_bit: torch.optim.Optimizer = AdamW8bit(list(groups), rate, weight_decay=decay)
    return eight_bit


def make_schedule(optimiser: torch.optim.Optimizer, settings: TrainingSettings) -> Any:
    """diffusers' schedule of the learning rate, whose `step()` follows each of the optimiser's.

    The polynomial one falls with the square of what is left of the run.
    """
    from diffusers.optimization import get_scheduler

    if settings.schedule == "polynomial" and settings.rate <= _POLYNOMIAL_END:
        raise UserError(
            f"rate is {settings.rate:g}, and the polynomial schedule ends at {_POLYNOMIAL_END:g}; "
            "take a higher rate or another schedule."
        )
    return get_scheduler(
        settings.schedule,
        optimiser,
        num_warmup_steps=settings.warmup,
        num_training_steps=settings.steps,
        power=2.0,
    )
