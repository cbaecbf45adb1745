"""The core's nodes that make noise levels and change them: SIGMAS, a tensor (steps + 1,)."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.wording import shown
from ..sampling import schedules
from ..sampling.model import Model
from .declare import core_node, integer, number
from .sampling import STEPS

_SCHEDULERS, _SIGMAS = "model/sampling/schedulers", "model/sampling/sigmas"
_STEPS = integer(20, **STEPS)
_DENOISE = number(1.0, 0.0, 1.0, 0.01)
_ENDS = {
    "sigma_max": number(14.614642, 0.0, 5000.0, 0.01, round=False, advanced=True),
    "sigma_min": number(0.0291675, 0.0, 5000.0, 0.01, round=False, advanced=True),
}
FLIPPED = 0.0001
"""What a flipped schedule begins with in place of 0, as in the core."""


@core_node(
    "BasicScheduler",
    _SCHEDULERS,
    {
        "model": "MODEL",
        "scheduler": list(schedules.SCHEDULES),
        "steps": _STEPS,
        "denoise": _DENOISE,
    },
    "SIGMAS",
    check=lambda steps, denoise: schedules.full_steps(steps, denoise),
)
def basic(model: Model, scheduler: str, steps: int, denoise: float) -> Tensor:
    """The levels of KSampler's menu, or the last of them with `denoise` below 1."""
    return schedules.schedule(scheduler, model.get_model_object("model_sampling"), steps, denoise)


@core_node(
    "KarrasScheduler",
    _SCHEDULERS,
    {
        "steps": _STEPS,
        **_ENDS,
        "rho": number(7.0, 0.0, 100.0, 0.01, round=False, advanced=True),
    },
    "SIGMAS",
)
def karras(steps: int, sigma_max: float, sigma_min: float, rho: float) -> Tensor:
    """Levels even in sigma^(1/rho)."""
    return schedules.karras_between(sigma_max, sigma_min, steps, rho)


@core_node("ExponentialScheduler", _SCHEDULERS, {"steps": _STEPS, **_ENDS}, "SIGMAS")
def exponential(steps: int, sigma_max: float, sigma_min: float) -> Tensor:
    """Levels even in log sigma."""
    return schedules.exponential_between(sigma_max, sigma_min, steps)


@core_node(
    "PolyexponentialScheduler",
    _SCHEDULERS,
    {
        "steps": _STEPS,
        **_ENDS,
        "rho": number(1.0, 0.0, 100.0, 0.01, round=False, advanced=True),
    },
    "SIGMAS",
)
def polyexponential(steps: int, sigma_max: float, sigma_min: float, rho: float) -> Tensor:
    """Levels by a polynomial in log sigma."""
    return schedules.polyexponential_between(sigma_max, sigma_min, steps, rho)


@core_node(
    "LaplaceScheduler",
    _SCHEDULERS,
    {
        "steps": _STEPS,
        **_ENDS,
        "mu": number(0.0, -10.0, 10.0, 0.1, round=False, advanced=True),
        "beta": number(0.5, 0.0, 10.0, 0.1, round=False, advanced=True),
    },
    "SIGMAS",
)
def laplace(steps: int, sigma_max: float, sigma_min: float, mu: float, beta: float) -> Tensor:
    """Levels that are dense around log sigma = `mu`."""
    return schedules.laplace_between(sigma_max, sigma_min, steps, mu, beta)


@core_node(
    "VPScheduler",
    _SCHEDULERS,
    {
        "steps": _STEPS,
        "beta_d": number(19.9, 0.0, 5000.0, 0.01, round=False, advanced=True),
        "beta_min": number(0.1, 0.0, 5000.0, 0.01, round=False, advanced=True),
        "eps_s": number(0.001, 0.0, 1.0, 0.0001, round=False, advanced=True),
    },
    "SIGMAS",
)
def variance_preserving(steps: int, beta_d: float, beta_min: float, eps_s: float) -> Tensor:
    """Levels even in the time of a variance-preserving process."""
    return schedules.variance_preserving(steps, beta_d, beta_min, eps_s)


@core_node(
    "BetaSamplingScheduler",
    _SCHEDULERS,
    {
        "model": "MODEL",
        "steps": _STEPS,
        "alpha": number(0.6, 0.0, 50.0, 0.01, round=False, advanced=True),
        "beta": number(0.6, 0.0, 50.0, 0.01, round=False, advanced=True),
    },
    "SIGMAS",
)
def beta(model: Model, steps: int, alpha: float, beta: float) -> Tensor:
    """Timesteps at the quantiles of a Beta distribution; UserError for a shape of 0."""
    if alpha == 0 or beta == 0:
        raise UserError(f"alpha is {alpha:g} and beta {beta:g}; both have to be above 0.")
    return schedules.beta(model.get_model_object("model_sampling"), steps, alpha, beta)


@core_node(
    "SDTurboScheduler",
    _SCHEDULERS,
    {"model": "MODEL", "steps": integer(1, 1, 10), "denoise": number(1.0, 0, 1.0, 0.01)},
    "SIGMAS",
)
def turbo(model: Model, steps: int, denoise: float) -> Tensor:
    """The levels that SD-Turbo was trained on."""
    return schedules.turbo(model.get_model_object("model_sampling"), steps, denoise)


@core_node(
    "AlignYourStepsScheduler",
    _SCHEDULERS,
    {"model_type": list(schedules.ALIGNED), "steps": integer(10, **STEPS), "denoise": _DENOISE},
    "SIGMAS",
)
def aligned(model_type: str, steps: int, denoise: float) -> Tensor:
    """Levels that were optimised for a family of models."""
    return schedules.aligned(model_type, steps, denoise)


@core_node(
    "SplitSigmas",
    _SIGMAS,
    {"sigmas": "SIGMAS", "step": integer(0, 0, 10000)},
    *("SIGMAS", "SIGMAS"),
    RETURN_NAMES=("high_sigmas", "low_sigmas"),
)
def split(sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The levels of the steps before `step`, and of those from it on."""
    return sigmas[: step + 1], sigmas[step:]


@core_node(
    "SplitSigmasDenoise",
    _SIGMAS,
    {"sigmas": "SIGMAS", "denoise": _DENOISE},
    *("SIGMAS", "SIGMAS"),
    RETURN_NAMES=("high_sigmas", "low_sigmas"),
)
def split_denoise(sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
    """The levels before the last share of the steps, and of that share."""
    last = round(max(len(sigmas) - 1, 0) * denoise)
    return sigmas[:-last] if last else sigmas[:0], sigmas[-(last + 1) :]


@core_node("FlipSigmas", _SIGMAS, {"sigmas": "SIGMAS"}, "SIGMAS")
def flip(sigmas: Tensor) -> Tensor:
    """The levels from the last to the first, to walk from a picture to its noise."""
    flipped = sigmas.flip(0)
    flipped[:1][flipped[:1] == 0] = FLIPPED
    return flipped


@core_node(
    "SetFirstSigma",
    _SIGMAS,
    {"sigmas": "SIGMAS", "sigma": number(136.0, 0.0, 20000.0, 0.001, round=False)},
    "SIGMAS",
)
def set_first(sigmas: Tensor, sigma: float) -> Tensor:
    """The levels with another one to begin with."""
    changed = sigmas.clone()
    changed[:1] = sigma
    return changed


def _read(sigmas: str) -> Tensor:
    words = re.findall(r"[-+]?(?:\d*\.*\d+)", sigmas)
    try:
        return torch.tensor([float(word) for word in words])
    except ValueError as error:
        raise UserError(f"sigmas is {shown(sigmas)}; write numbers such as '1, 0.5'.") from error


@core_node(
    "ManualSigmas",
    _SIGMAS,
    {"sigmas": ("STRING", {"default": "1, 0.5", "multiline": False})},
    "SIGMAS",
    check=lambda sigmas: _read(sigmas),
)
def manual(sigmas: str) -> Tensor:
    """The numbers of a text as levels."""
    return _read(sigmas)
