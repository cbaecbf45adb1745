"""Sigma schedules against their definitions, computed here in another way."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.schedules import SCHEDULES, schedule

SAMPLING = DiscreteSampling.from_betas()
TABLE = SAMPLING.sigmas.double().tolist()


def at_timestep(t: float) -> float:
    low, high = TABLE[math.floor(t)], TABLE[math.ceil(t)]
    return low ** (1 - t % 1) * high ** (t % 1)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 20, 37])
def test_every_schedule_falls_from_noise_to_zero(name: str, steps: int) -> None:
    sigmas = schedule(name, SAMPLING, steps)
    assert sigmas.dtype == torch.float32
    assert bool((sigmas.diff() < 0).all())
    assert float(sigmas[-1]) == 0.0
    assert float(sigmas[0]) <= TABLE[-1] * (1 + 1e-6)
    if name != "ddim_uniform":  # its own rule: a step more where the stride does not fit
        assert len(sigmas) == steps + 1


def test_simple() -> None:
    expected = [TABLE[t] for t in (999, 799, 599, 399, 199)]
    assert schedule("simple", SAMPLING, 5).tolist()[:-1] == pytest.approx(expected)


def test_normal_reaches_both_ends_of_training() -> None:
    expected = [at_timestep(t) for t in (999, 749.25, 499.5, 249.75, 0)]
    assert schedule("normal", SAMPLING, 5).tolist()[:-1] == pytest.approx(expected, rel=1e-5)


def test_sgm_uniform_stops_a_step_earlier() -> None:
    expected = [at_timestep(t) for t in (999, 799.2, 599.4, 399.6, 199.8)]
    assert schedule("sgm_uniform", SAMPLING, 5).tolist()[:-1] == pytest.approx(expected, rel=1e-5)


def test_ddim_uniform() -> None:
    expected = [TABLE[t] for t in (801, 601, 401, 201, 1)]
    assert schedule("ddim_uniform", SAMPLING, 5).tolist()[:-1] == pytest.approx(expected)
    assert len(schedule("ddim_uniform", SAMPLING, 30)) == 32  # stride 33: 31 sigmas and 0


def test_karras() -> None:
    sigmas = schedule("karras", SAMPLING, 5).double()[:-1]
    assert float(sigmas[0]) == pytest.approx(TABLE[-1])
    assert float(sigmas[-1]) == pytest.approx(TABLE[0], rel=1e-5)
    roots = sigmas ** (1 / 7)
    assert roots.diff().tolist() == pytest.approx([float(roots[-1] - roots[0]) / 4] * 4, rel=1e-5)


def test_exponential() -> None:
    sigmas = schedule("exponential", SAMPLING, 5).double()[:-1]
    ratio = (TABLE[0] / TABLE[-1]) ** 0.25
    assert (sigmas[1:] / sigmas[:-1]).tolist() == pytest.approx([ratio] * 4, rel=1e-5)


def test_linear_quadratic() -> None:
    # Two of four steps take 1.25 % each; the rest is 0.0125 i + (1 - 0.05) ((i - 2) / 2)^2.
    shares = [0.0, 0.0125, 0.025, 0.0375 + 0.95 / 4]
    expected = [TABLE[-1] * (1 - share) for share in shares]
    assert schedule("linear_quadratic", SAMPLING, 4).tolist()[:-1] == pytest.approx(expected)


def test_kl_optimal_is_even_in_the_arctangent() -> None:
    angles = schedule("kl_optimal", SAMPLING, 5).double()[:-1].atan()
    ends = math.atan(TABLE[-1]), math.atan(TABLE[0])
    assert angles.diff().tolist() == pytest.approx([(ends[1] - ends[0]) / 4] * 4, rel=1e-4)


def test_beta_takes_the_quantiles() -> None:
    quantiles = stats.beta.ppf([1.0, 0.75, 0.5, 0.25], 0.6, 0.6)
    expected = [TABLE[round(q * 999)] for q in quantiles]
    assert schedule("beta", SAMPLING, 4).tolist()[:-1] == pytest.approx(expected)


def test_beta_visits_no_timestep_twice() -> None:
    assert len(schedule("beta", SAMPLING, 1000)) < 1001


def test_partial_denoise_is_the_end_of_a_longer_schedule() -> None:
    longer = schedule("karras", SAMPLING, 20)
    assert torch.equal(schedule("karras", SAMPLING, 10, denoise=0.5), longer[-11:])
    assert len(schedule("karras", SAMPLING, 10, denoise=0.0)) == 0


def test_drop_penultimate_skips_the_smallest_sigma() -> None:
    longer = schedule("normal", SAMPLING, 11).tolist()
    dropped = schedule("normal", SAMPLING, 10, drop_penultimate=True).tolist()
    assert dropped == [*longer[:10], 0.0]


def test_errors_name_what_there_is() -> None:
    with pytest.raises(UserError, match=r"'linear'.*karras"):
        schedule("linear", SAMPLING, 5)
    with pytest.raises(UserError, match=r"denoise 1e-09.*more than 1000000"):
        schedule("simple", SAMPLING, 20, denoise=1e-9)
    with pytest.raises(UserError, match="steps is 0"):
        schedule("karras", SAMPLING, 0)
