"""Sigma schedules by the names of ComfyUI's menu: which noise levels a number of steps visits.

Each takes the model's noise schedule and a number of steps, and returns float32 sigmas on the CPU,
descending, ending in 0: `steps` + 1 values, except where its own rule gives others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ...ground.errors import UserError
from .model_sampling import DiscreteSampling

LONGEST = 1_000_000
"""Steps of a whole schedule: ComfyUI's most steps, 10000, at its smallest denoise, 0.01."""

Schedule = Callable[[DiscreteSampling, int], Tensor]


def simple(sampling: DiscreteSampling, steps: int) -> Tensor:
    """Every (T / steps)-th training sigma, counted from the noisiest."""
    stride = len(sampling.sigmas) / steps
    picked = [-(1 + int(step * stride)) for step in range(steps)]
    return _then_zero(sampling.sigmas[picked])


def timestep_uniform(sampling: DiscreteSampling, steps: int, *, sgm: bool = False) -> Tensor:
    """Evenly spaced in the training timestep ("normal").

    With `sgm` ("sgm_uniform") spaced as Stability AI's generative-models do: the last stretch, from
    the smallest training sigma on, is a step like the others.
    """
    start, end = sampling.ends
    count = steps + 1 if sgm else steps
    timesteps = torch.linspace(start, end, count)
    return _then_zero(sampling.sigma(timesteps[:-1] if sgm else timesteps))


def ddim_uniform(sampling: DiscreteSampling, steps: int) -> Tensor:
    """Training timesteps 1, 1 + s, 1 + 2s, ... with a whole stride s = T // steps, as in DDIM
    (Song et al. 2021). Where `steps` does not divide T there is a step more.
    """
    stride = max(len(sampling.sigmas) // steps, 1)
    return _then_zero(sampling.sigmas[1::stride].flip(0))


def karras(sampling: DiscreteSampling, steps: int, rho: float = 7.0) -> Tensor:
    """Evenly spaced in sigma^(1/rho): Karras et al. 2022, equation 5
    (https://arxiv.org/abs/2206.00364).
    """
    return karras_between(float(sampling.sigma_max), float(sampling.sigma_min), steps, rho)


def karras_between(highest: float, lowest: float, steps: int, rho: float = 7.0) -> Tensor:
    """`karras` between two sigmas; UserError for a `rho` of 0."""
    if rho == 0:
        raise UserError("rho is 0; it must be above 0.")
    high, low = highest ** (1 / rho), lowest ** (1 / rho)
    return _then_zero((high + torch.linspace(0, 1, steps) * (low - high)) ** rho)


def exponential(sampling: DiscreteSampling, steps: int) -> Tensor:
    """Evenly spaced in log sigma."""
    return exponential_between(float(sampling.sigma_max), float(sampling.sigma_min), steps)


def exponential_between(highest: float, lowest: float, steps: int) -> Tensor:
    """`exponential` between two sigmas; UserError where one is 0."""
    high, low = _logs(highest, lowest)
    return _then_zero(torch.linspace(high, low, steps).exp())


def polyexponential_between(highest: float, lowest: float, steps: int, rho: float = 1.0) -> Tensor:
    """A polynomial of degree `rho` in log sigma (k-diffusion); UserError where a sigma is 0."""
    high, low = _logs(highest, lowest)
    return _then_zero((torch.linspace(1, 0, steps) ** rho * (high - low) + low).exp())


def laplace_between(
    highest: float, lowest: float, steps: int, mu: float = 0.0, beta: float = 0.5
) -> Tensor:
    """Sigmas at the quantiles of a Laplace distribution of log sigma (Hang et al. 2024,
    https://arxiv.org/abs/2407.03297), cut to the two; `steps` values, and no 0 at the end.
    """
    from_middle = 0.5 - torch.linspace(0, 1, steps)
    spread = (1 - 2 * from_middle.abs() + 1e-5).log()  # 1e-5: the logarithm at the ends
    return (mu - beta * from_middle.sign() * spread).exp().clamp(lowest, highest)


def variance_preserving(steps: int, beta_d: float, beta_min: float, eps_s: float) -> Tensor:
    """Evenly spaced in the time of a variance-preserving process, 1 to `eps_s`, whose beta rises by
    `beta_d` from `beta_min` (Song et al. 2021, https://arxiv.org/abs/2011.13456).
    """
    time = torch.linspace(1, eps_s, steps)
    return _then_zero((beta_d * time**2 / 2 + beta_min * time).expm1().sqrt())


def turbo(sampling: DiscreteSampling, steps: int, denoise: float = 1.0) -> Tensor:
    """The last of SD-Turbo's timesteps, 999, 899 ... 99 (Sauer et al. 2023,
    https://arxiv.org/abs/2311.17042); `denoise` leaves out the first of the ten.
    """
    first = 10 - int(10 * denoise)
    timesteps = torch.arange(999, 0, -100)[first : first + steps]
    return _then_zero(sampling.sigma(timesteps))


ALIGNED = {
    "SD1": "14.6146412293 6.4745760956 3.8636745985 2.6946151520 1.8841921177 1.3943805092 "
    "0.9642583904 0.6523686016 0.3977456272 0.1515232662 0.0291671582",
    "SDXL": "14.6146412293 6.3184485287 3.7681790315 2.1811480769 1.3405244945 0.8620721141 "
    "0.5550693289 0.3798540708 0.2332364134 0.1114188177 0.0291671582",
    "SVD": "700.00 54.5 15.886 7.977 4.248 1.789 0.981 0.403 0.173 0.034 0.002",
}
"""Sigmas of ten steps for each family: https://research.nvidia.com/labs/toronto-ai/AlignYourSteps,
"quickstart guide"."""


def aligned(family: str, steps: int, denoise: float = 1.0) -> Tensor:
    """Align Your Steps: the ten steps of ALIGNED, or others between them by log sigma (Sabour et
    al. 2024, https://arxiv.org/abs/2404.14507); with `denoise` below 1 the last of them.
    """
    import numpy as np

    if denoise <= 0.0:
        return torch.zeros(0)
    known = np.array([float(word) for word in ALIGNED[family].split()])
    if steps + 1 != len(known):
        places = np.linspace(0, 1, steps + 1)
        known = np.exp(np.interp(places, np.linspace(0, 1, len(known)), np.log(known)))
    taken = round(steps * denoise) if denoise < 1.0 else steps
    return _then_zero(torch.tensor(known[-(taken + 1) : -1], dtype=torch.float32))


def beta(sampling: DiscreteSampling, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Timesteps at the quantiles of a Beta distribution, dense at both ends (Lee et al. 2024,
    https://arxiv.org/abs/2407.12173). Timesteps that repeat are visited once.
    """
    import numpy as np
    from scipy.special import betaincinv

    quantiles = betaincinv(alpha, beta, 1 - np.linspace(0, 1, steps, endpoint=False))
    timesteps = np.rint(quantiles * (len(sampling.sigmas) - 1)).astype(int)
    return _then_zero(sampling.sigmas[list(dict.fromkeys(timesteps.tolist()))])


def linear_quadratic(sampling: DiscreteSampling, steps: int) -> Tensor:
    """The first half of the steps takes 2.5 % of the largest sigma, evenly; the second half goes
    on as fast and, by the square of the step, ever faster to 0 (Polyak et al. 2024, Movie Gen,
    3.4.2, https://arxiv.org/abs/2410.13720).
    """
    whole = float(sampling.sigma_max)
    even, threshold = steps // 2, 0.025
    if not even:
        return torch.tensor([whole, 0.0])
    step = torch.arange(steps + 1, dtype=torch.float64)
    passed = threshold * step / even
    rest = (step - even).clamp(min=0) / (steps - even)
    sigmas = 1.0 - (passed + (1 - threshold * steps / even) * rest**2)
    return _then_zero((sigmas.float() * sampling.sigma_max.cpu())[:-1])


def kl_optimal(sampling: DiscreteSampling, steps: int) -> Tensor:
    """Evenly spaced in the arctangent of sigma: Sabour et al. 2024, Align Your Steps, the optimum
    for normally distributed data (https://arxiv.org/abs/2404.14507).
    """
    share = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    low, high = math.atan(float(sampling.sigma_min)), math.atan(float(sampling.sigma_max))
    return _then_zero((share * low + (1 - share) * high).tan())


SCHEDULES: dict[str, Schedule] = {
    "simple": simple,
    "sgm_uniform": partial(timestep_uniform, sgm=True),
    "karras": karras,
    "exponential": exponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": timestep_uniform,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
}
"""In the order of ComfyUI's menu."""


def schedule(
    name: str,
    sampling: DiscreteSampling,
    steps: int,
    denoise: float = 1.0,
    *,
    drop_penultimate: bool = False,
) -> Tensor:
    """Return the sigmas of a sampling run, empty where `denoise` leaves nothing to do.

    `denoise` below 1 takes the last `steps` of a schedule of steps / denoise. `drop_penultimate`
    leaves out the last sigma above 0 of a schedule that is one step longer.
    """
    if name not in SCHEDULES:
        raise UserError(f"There is no scheduler {name!r}; there are {', '.join(SCHEDULES)}.")
    full = full_steps(steps, denoise)
    if not full:
        return torch.zeros(0)
    sigmas = SCHEDULES[name](sampling, full + drop_penultimate)
    if drop_penultimate:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas if full == steps else sigmas[-(steps + 1) :]


def full_steps(steps: int, denoise: float) -> int:
    """The length of the schedule whose last `steps` are taken; 0 where `denoise` is 0.

    Raises UserError for no step, and where `denoise` is so small that the schedule would have more
    than LONGEST.
    """
    if steps < 1:
        raise UserError(f"Sampling needs at least 1 step; steps is {steps}.")
    if denoise <= 0.0:
        return 0
    if denoise > 0.9999:
        return steps
    if steps / denoise >= LONGEST + 1:
        raise UserError(
            f"{steps} steps at denoise {denoise:g} are the end of a schedule of more than "
            f"{LONGEST} steps: use a larger denoise, or 0 to leave the latent as it is."
        )
    return int(steps / denoise)


def _logs(highest: float, lowest: float) -> tuple[float, float]:
    if highest <= 0 or lowest <= 0:
        raise UserError(
            f"sigma_max is {highest:g} and sigma_min {lowest:g}; both have to be above 0."
        )
    return math.log(highest), math.log(lowest)


def _then_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas.cpu(), torch.zeros(1)])
