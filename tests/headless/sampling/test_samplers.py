"""Samplers on a denoiser whose equation has a known solution.

For data drawn from a normal distribution (mean MEAN, deviation SPREAD) the best denoiser is linear,
and the probability flow moves every point along a curve that can be written down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from controlstack.headless.sampling.noise import Noise, brownian, gaussian
from controlstack.headless.sampling.samplers import SAMPLERS

MEAN, SPREAD = 0.3, 0.5


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return (SPREAD**2 * x + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def solution(x: Tensor, start: float, end: float) -> Tensor:
    return MEAN + (x - MEAN) * math.sqrt((SPREAD**2 + end**2) / (SPREAD**2 + start**2))


def ignore(step: int, denoised: Tensor, x: Tensor) -> None:
    return None


def silent(sigma: Tensor, target: Tensor) -> Tensor:
    return torch.zeros(())


def falling(start: float, end: float, steps: int) -> Tensor:
    return torch.linspace(math.log(start), math.log(end), steps + 1, dtype=torch.float64).exp()


@pytest.mark.parametrize(
    ("name", "order"),
    [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm_2", 2), ("dpmpp_2m", 2), ("uni_pc", 2)],
)
def test_order_of_convergence(name: str, order: int) -> None:
    x = torch.tensor([[[[3.0, -7.0]]]], dtype=torch.float64)

    def error(steps: int) -> float:
        result = SAMPLERS[name].sample(denoise, x, falling(10, 0.05, steps), silent, ignore)
        return float((result - solution(x, 10, 0.05)).abs().max())

    measured = math.log2(error(80) / error(160))
    assert measured == pytest.approx(order, abs=0.15)
    assert error(160) < 0.005


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
def test_a_sure_denoiser_is_believed(name: str, steps: int) -> None:
    picture = torch.full((1, 4, 2, 2), 0.7)
    sigmas = torch.cat([falling(10, 0.1, steps)[:-1].float(), torch.zeros(1)])
    x = picture + sigmas[0] * torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    seen: list[int] = []
    noise = SAMPLERS[name].noise(x, sigmas, 0)
    result = SAMPLERS[name].sample(
        lambda *_: picture, x, sigmas, noise, lambda step, *_: seen.append(step)
    )
    # uni_pc ends at sigma 0.001 and not at 0.
    torch.testing.assert_close(result, picture, atol=0.005, rtol=0)
    assert seen == list(range(steps))


@pytest.mark.parametrize("name", ["euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde"])
@pytest.mark.parametrize("source", [gaussian, brownian])
def test_stochastic_samplers_reach_the_distribution(
    name: str, source: Callable[[Tensor, Tensor, int], Noise]
) -> None:
    sigmas = torch.cat([falling(10, 0.02, 60).float(), torch.zeros(1)])
    x = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    x = MEAN + x * math.sqrt(SPREAD**2 + 10**2)
    result = SAMPLERS[name].sample(denoise, x, sigmas, source(x, sigmas, 1), ignore)
    assert float(result.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(result.std()) == pytest.approx(SPREAD, rel=0.05)


def test_lcm_noises_what_it_denoised() -> None:
    inputs: list[Tensor] = []

    def halve(x: Tensor, sigma: Tensor) -> Tensor:
        inputs.append(x)
        return x / 2

    ones: Noise = lambda *_: torch.ones(1)  # noqa: E731
    sigmas = torch.tensor([8.0, 2.0, 0.0])
    result = SAMPLERS["lcm"].sample(halve, torch.tensor([4.0]), sigmas, ones, ignore)
    assert [float(x) for x in inputs] == [4.0, 4.0 / 2 + 2.0]
    assert float(result) == 2.0


@pytest.mark.parametrize(("name", "diffusers_name"), [("euler", "Euler"), ("heun", "Heun")])
def test_same_as_an_independent_library(name: str, diffusers_name: str) -> None:
    import diffusers

    scheduler = getattr(diffusers, f"{diffusers_name}DiscreteScheduler")(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True
    )
    scheduler.set_timesteps(7)
    sigmas = scheduler.sigmas.float().unique(sorted=True).flip(0)
    start = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)) * sigmas[0]
    x = start
    for index, timestep in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[index]
        x = scheduler.step((x - denoise(x, sigma)) / sigma, timestep, x).prev_sample
    ours = SAMPLERS[name].sample(denoise, start, sigmas, silent, ignore)
    torch.testing.assert_close(ours, x, atol=1e-5, rtol=1e-5)


def test_evaluations_a_step() -> None:
    counts = {}
    for name, sampler in SAMPLERS.items():
        calls: list[float] = []

        def counting(x: Tensor, sigma: Tensor, calls: list[float] = calls) -> Tensor:
            calls.append(float(sigma))
            return denoise(x, sigma)

        x = torch.ones(1, 4, 8, 8)
        sigmas = torch.tensor([10.0, 3.0, 1.0, 0.2, 0.0])
        sampler.sample(counting, x, sigmas, sampler.noise(x, sigmas, 0), ignore)
        counts[name] = len(calls)
    twice = {"heun", "dpm_2", "dpmpp_sde"}  # but not into sigma 0
    assert counts == {name: 7 if name in twice else 4 for name in SAMPLERS}
