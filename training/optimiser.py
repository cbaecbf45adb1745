"""The optimiser and how its learning rate changes over a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..ground.errors import UserError
from .settings import TrainingSettings

_POLYNOMIAL_END = 1e-7
"""What diffusers' polynomial schedule ends at; it refuses to begin lower."""


def require_possible(settings: TrainingSettings) -> None:
    """Raise UserError for an optimiser that is not installed, and for a schedule that cannot be."""
    if settings.optimizer == "adamw8bit":
        _adamw8bit()
    if settings.schedule == "polynomial" and settings.rate <= _POLYNOMIAL_END:
        raise UserError(
            f"rate is {settings.rate:g}, and the polynomial schedule ends at {_POLYNOMIAL_END:g}; "
            "take a higher rate or another schedule."
        )


def make_optimiser(
    groups: Iterable[dict[str, Any]], settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over `groups` (each with `params` and `lr`), fused where that is there, or with a state
    of 8 bits. The settings' rate is the optimiser's own, from which some schedules start.

    Raises UserError as `require_possible` does.
    """
    require_possible(settings)
    rate, decay = settings.rate, settings.weight_decay
    if settings.optimizer == "adamw":
        fused = device.type in ("cpu", "cuda")
        return torch.optim.AdamW(list(groups), rate, weight_decay=decay, fused=fused)
    eight_bit: torch.optim.Optimizer = _adamw8bit()(list(groups), rate, weight_decay=decay)
    return eight_bit


def make_schedule(optimiser: torch.optim.Optimizer, settings: TrainingSettings) -> Any:
    """diffusers' schedule of the learning rate, whose `step()` follows each of the optimiser's.

    The polynomial one falls with the square of what is left of the run.
    """
    from diffusers.optimization import get_scheduler

    return get_scheduler(
        settings.schedule,
        optimiser,
        num_warmup_steps=settings.warmup,
        num_training_steps=settings.steps,
        power=2.0,
    )


def _adamw8bit() -> Any:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError(
            "The optimizer adamw8bit needs bitsandbytes, which is not installed: "
            "pip install bitsandbytes, or set optimizer to adamw."
        ) from error
    return AdamW8bit


def moments_like(found: Mapping[int, Any], optimiser: torch.optim.Optimizer) -> Mapping[int, Any]:
    """What the moments in a checkpoint should be like, from what was `found` there: AdamW's for
    each parameter, with numbers of no meaning, or none before the first step. Those of 8 bits have
    shapes of their own, which are taken as they are.
    """
    if not found or not isinstance(optimiser, torch.optim.AdamW):
        return found
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    return {
        number: {"step": torch.tensor(0.0), "exp_avg": weight, "exp_avg_sq": weight}
        for number, weight in enumerate(weights)
    }


def go_on_after(step: int, moments: Any, optimiser: torch.optim.Optimizer, schedule: Any) -> None:
    """Bring optimiser and schedule to where they were after `step`, with the `moments` of then.

    All else follows from the settings, and is not taken from a file.
    """
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    rates = [
        base * factor(step)
        for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    there = {"last_epoch": step, "_step_count": step + 1, "_last_lr": rates}
    schedule.load_state_dict({**schedule.state_dict(), **there})
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
