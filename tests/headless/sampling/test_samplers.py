"""Samplers on a denoiser whose equation has a known solution.

For data drawn from a normal distribution (mean MEAN, deviation SPREAD) the best denoiser is linear,
and the probability flow moves every point along a curve that can be written down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.sampling.multistep import ADAMS_BASHFORTH, _uneven_weights
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


def given(name: str, one: Callable[[Tensor, Tensor], Tensor] = denoise) -> Callable[..., Any]:
    """A denoiser as a sampler takes it; where it wants both sides they are the same."""
    both = SAMPLERS[name].both_sides
    return (lambda x, sigma: (one(x, sigma),) * 2) if both else one


def falling(start: float, end: float, steps: int) -> Tensor:
    return torch.linspace(math.log(start), math.log(end), steps + 1, dtype=torch.float64).exp()


@pytest.mark.parametrize(
    ("name", "order"),
    [
        *(("euler", 1), ("ddim", 1), ("heun", 2), ("dpm_2", 2), ("dpmpp_2m", 2), ("uni_pc", 2)),
        *(("euler_cfg_pp", 1), ("res_multistep", 2), ("uni_pc_bh2", 2), ("deis", 3)),
        ("exp_heun_2_x0", 2),
    ],
)
def test_order_of_convergence(name: str, order: int) -> None:
    x = torch.tensor([[[[3.0, -7.0]]]], dtype=torch.float64)

    def error(steps: int) -> float:
        result = SAMPLERS[name].sample(given(name), x, falling(10, 0.05, steps), silent, ignore)
        return float((result - solution(x, 10, 0.05)).abs().max())

    measured = math.log2(error(80) / error(160))
    assert measured == pytest.approx(order, abs=0.15)
    assert error(160) < 0.005


OWN_STEPS = ("dpm_fast", "dpm_adaptive")
"""They end at the last sigma above 0, in steps of their own."""


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in OWN_STEPS])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
def test_a_sure_denoiser_is_believed(name: str, steps: int) -> None:
    picture = torch.full((1, 4, 2, 2), 0.7)
    sigmas = torch.cat([falling(10, 0.1, steps)[:-1].float(), torch.zeros(1)])
    x = picture + sigmas[0] * torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    seen: list[int] = []
    noise = SAMPLERS[name].noise(x, sigmas, 0)
    result = SAMPLERS[name].sample(
        given(name, lambda *_: picture), x, sigmas, noise, lambda step, *_: seen.append(step)
    )
    # uni_pc ends at sigma 0.001 and not at 0.
    torch.testing.assert_close(result, picture, atol=0.005, rtol=0)
    assert seen == list(range(steps))


@pytest.mark.parametrize("name", OWN_STEPS)
def test_steps_of_their_own_end_above_zero(name: str) -> None:
    sigmas = torch.tensor([10.0, 5.0, 2.0, 1.0, 0.5, 0.0])
    x = torch.full((1, 4, 2, 2), 8.0)
    seen: list[int] = []
    result = SAMPLERS[name].sample(denoise, x, sigmas, silent, lambda step, *_: seen.append(step))
    torch.testing.assert_close(result, solution(x, 10, 0.5), atol=0.06, rtol=0)
    assert seen == list(range(len(seen)))
    assert torch.equal(SAMPLERS[name].sample(denoise, x, sigmas[:1], silent, ignore), x)


def test_an_adaptive_run_is_as_exact_as_it_is_told() -> None:
    sigmas, x = torch.tensor([10.0, 0.05, 0.0]), torch.full((1, 4, 2, 2), 8.0)
    errors, calls = [], []
    for tolerance in (0.05, 0.001):
        seen: list[int] = []
        result = SAMPLERS["dpm_adaptive"].sample(
            *(denoise, x, sigmas, silent, lambda step, *_, seen=seen: seen.append(step)),
            rtol=tolerance,
            atol=tolerance,
        )
        errors.append(float((result - solution(x, 10, 0.05)).abs().max()))
        calls.append(len(seen))
    assert errors[1] < errors[0] / 2
    assert calls[1] > calls[0]


def test_uneven_weights_are_adams_bashforth_s_at_even_steps() -> None:
    for order, weights in enumerate(ADAMS_BASHFORTH[:3], start=1):
        assert _uneven_weights([0.7] * order) == pytest.approx(weights)


def test_sa_solver_adds_noise_between_two_levels_alone() -> None:
    sigmas, x = torch.tensor([10.0, 5.0, 2.0, 1.0, 0.5, 0.0]), torch.full((1, 4, 2, 2), 8.0)
    drawn: list[float] = []

    def noise(sigma: Tensor, target: Tensor) -> Tensor:
        drawn.append(float(target))
        return torch.zeros_like(x)

    SAMPLERS["sa_solver"].sample(denoise, x, sigmas, noise, ignore, span=(2.5, 0.9))
    assert drawn == [2.0, 1.0]
    smooth = SAMPLERS["sa_solver"].sample(denoise, x, sigmas[:-1], noise, ignore, span=(0.0, 0.0))
    torch.testing.assert_close(smooth, solution(x, 10, 0.5), atol=0.1, rtol=0)


STOCHASTIC = (
    *("euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde"),
    *("dpmpp_2m_sde_heun", "dpmpp_3m_sde", "ddpm", "res_multistep_ancestral"),
    "euler_ancestral_cfg_pp",
)


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("source", [gaussian, brownian])
def test_stochastic_samplers_reach_the_distribution(
    name: str, source: Callable[[Tensor, Tensor, int], Noise]
) -> None:
    sigmas = torch.cat([falling(10, 0.02, 60).float(), torch.zeros(1)])
    x = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    x = MEAN + x * math.sqrt(SPREAD**2 + 10**2)
    result = SAMPLERS[name].sample(given(name), x, sigmas, source(x, sigmas, 1), ignore)
    assert float(result.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(result.std()) == pytest.approx(SPREAD, rel=0.05)


def test_linear_multistep_is_adams_bashforth_where_steps_are_even() -> None:
    for order, weights in enumerate(ADAMS_BASHFORTH, start=1):
        x, sigmas = (
            torch.zeros(1, 1, 1, 1, dtype=torch.float64),
            torch.arange(9.0, 9 - order - 1, -1),
        )
        slopes = iter([0.0] * (order - 1) + [1.0])
        result = SAMPLERS["lms"].sample(
            *(lambda x, sigma, slopes=slopes: x - sigma * next(slopes), x, sigmas.double()),
            *(silent, ignore),
        )
        assert float(result) == pytest.approx(-weights[0])


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
        sampler.sample(given(name, counting), x, sigmas, sampler.noise(x, sigmas, 0), ignore)
        counts[name] = len(calls)
    # Twice a step, but not into sigma 0; Heun++ once more in the middle of the run.
    twice = "heun dpm_2 dpmpp_sde dpmpp_sde_gpu dpm_2_ancestral dpmpp_2s_ancestral"
    twice = {*twice.split(), "dpmpp_2s_ancestral_cfg_pp", "seeds_2"}
    twice |= {"exp_heun_2_x0", "exp_heun_2_x0_sde", "sa_solver_pece"}
    others = {"heunpp2": 9, "dpm_adaptive": counts["dpm_adaptive"], "seeds_3": 10}
    assert counts == {name: others.get(name, 7 if name in twice else 4) for name in SAMPLERS}


def test_cfg_pp_takes_its_noise_from_the_negative_side() -> None:
    """One step from sigma 4 to 1: the guided latent, a quarter of what the negative side left."""
    x, guided, free = torch.tensor([[[[8.0]]]]), torch.tensor(3.0), torch.tensor(1.0)
    sigmas = torch.tensor([4.0, 1.0])
    for name in ("euler_cfg_pp", "dpmpp_2m_cfg_pp", "res_multistep_cfg_pp"):
        result = SAMPLERS[name].sample(lambda *_: (guided, free), x, sigmas, silent, ignore)
        assert float(result) == pytest.approx(3 + (8 - 1) / 4)
