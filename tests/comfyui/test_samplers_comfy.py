"""Every sampler and schedule of the embedded host beside ComfyUI's own functions, with one denoiser
that both are given."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.sampling import noise
from controlstack.headless.sampling.exponential import STOCHASTIC
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.samplers import SAMPLERS
from controlstack.headless.sampling.schedules import SCHEDULES, schedule

SEED = 7
BAR = 2e-6
"""The largest difference, as a part of the largest value."""
UNIPC_BAR = 2e-4
"""ComfyUI's UniPC rounds sigma 0.001, where it ends, by 6 %: 1 - exp(-1e-6) in float32. Elsewhere,
and in float64, it is as the others."""


def denoised(x: Tensor, sigma: Tensor, side: float = 1.0) -> Tensor:
    """Bent in both, so that no order of a sampler is exact."""
    sigma = sigma.view(-1, 1, 1, 1) if sigma.ndim else sigma
    return (x / (1 + sigma**2).sqrt() * 1.5 + side * 0.4).tanh() * (0.8 + 0.2 * sigma.cos())


class Model:
    """What ComfyUI's samplers are given: called with a sigma a row, it denoises."""

    def __init__(self, sampling: Any) -> None:
        patcher = SimpleNamespace(get_model_object=lambda name: sampling)
        inner = SimpleNamespace(model_sampling=sampling)
        self.inner_model = SimpleNamespace(model_patcher=patcher, inner_model=inner)

    def __call__(self, x: Tensor, sigma: Tensor, **extra: Any) -> Tensor:
        result = denoised(x, sigma)
        for after in extra.get("model_options", {}).get("sampler_post_cfg_function", []):
            result = after({"denoised": result, "uncond_denoised": denoised(x, sigma, -1.0)})
        return result


@pytest.fixture(scope="module")
def sampling(comfy: ModuleType) -> Any:
    """ComfyUI's noise schedule of SD 1.x."""
    from comfy.model_sampling import EPS, ModelSamplingDiscrete

    return type("Sampling", (ModelSamplingDiscrete, EPS), {})()


@pytest.fixture(autouse=True)
def _their_noise(comfy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI 0.3.64 draws a step's noise with the seed itself."""
    from comfy.k_diffusion.sampling import default_noise_sampler

    x = torch.zeros(1, 4, 2, 2)
    drawn = default_noise_sampler(x, seed=5)(None, None)
    again = torch.equal(drawn, torch.randn(x.shape, generator=torch.Generator().manual_seed(5)))
    monkeypatch.setattr(noise, "CPU_SEED_OFFSET", 0 if again else 1)


def theirs(name: str, sampling: Any, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
    from comfy.samplers import ksampler, sampler_object

    made = ksampler(name, options) if options else sampler_object(name)
    extra = {"model_options": {}, "seed": SEED}
    result: Tensor = made.sampler_function(
        Model(sampling), x.clone(), sigmas, extra_args=extra, callback=None, disable=True,
        **made.extra_options,
    )  # fmt: skip
    return result


def ours(name: str, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
    sampler = SAMPLERS[name]

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return denoised(x, sigma), denoised(x, sigma, -1.0)

    given = both if sampler.both_sides else denoised
    fresh = sampler.noise(x, sigmas, SEED)
    table = DiscreteSampling.from_betas()
    if sampler.spanned:
        options["span"] = tuple(table.percent_to_sigma(percent) for percent in STOCHASTIC)
    return sampler.sample(given, x, sigmas, fresh, lambda *_: None, **options)


def check(one: Tensor, other: Tensor, bar: float = BAR) -> None:
    difference, largest = float((one - other).abs().max()), float(other.abs().max())
    assert difference <= bar * largest


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("scheduler", "steps"), [("normal", 6), ("karras", 9), ("simple", 1), ("karras", 2)]
)
def test_a_sampler(name: str, scheduler: str, steps: int, sampling: Any) -> None:
    from comfy.samplers import KSampler

    if name not in KSampler.SAMPLERS:
        pytest.skip(f"this ComfyUI has no {name}")
    drops = SAMPLERS[name].drop_penultimate
    assert drops == (name in KSampler.DISCARD_PENULTIMATE_SIGMA_SAMPLERS)
    table = DiscreteSampling.from_betas()
    sigmas = schedule(scheduler, table, steps, drop_penultimate=drops)
    for end in (sigmas, sigmas[: max(2, len(sigmas) - 2)]):
        unipc = name.startswith("uni_pc")
        if unipc and len(end) == 2:
            continue  # ComfyUI's gives the noise back
        x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1)) * end[0]
        bar = UNIPC_BAR if unipc and end[-1] == 0 else BAR
        check(ours(name, x, end), theirs(name, sampling, x, end.clone()), bar)


@pytest.mark.parametrize("name", ["uni_pc", "uni_pc_bh2"])
def test_unipc_without_rounding(name: str, sampling: Any) -> None:
    sigmas = torch.tensor([14.6, 2.0, 0.0], dtype=torch.float64)
    x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1)).double() * sigmas[0]
    check(ours(name, x, sigmas), theirs(name, sampling, x, sigmas.clone()), 1e-11)


@pytest.mark.parametrize("name", ["sa_solver", "sa_solver_pece"])
@pytest.mark.parametrize("steps", [2, 5, 9])
def test_sa_solver_without_rounding(name: str, steps: int, sampling: Any) -> None:
    from comfy.samplers import KSampler

    if name not in KSampler.SAMPLERS:
        pytest.skip(f"this ComfyUI has no {name}")
    sigmas = schedule("karras", DiscreteSampling.from_betas(), steps).double()
    x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1)).double() * sigmas[0]
    check(ours(name, x, sigmas), theirs(name, sampling, x, sigmas.clone()), 1e-9)


OPTIONS: dict[str, list[dict[str, Any]]] = {
    "euler_ancestral": [{"eta": 0.5, "s_noise": 1.1}, {"eta": 0.0}],
    "euler_ancestral_cfg_pp": [{"eta": 0.5, "s_noise": 1.1}],
    "lms": [{"order": 2}, {"order": 7}],
    "dpmpp_2s_ancestral": [{"eta": 0.5, "s_noise": 0.9}],
    "dpmpp_sde": [{"eta": 0.5, "s_noise": 0.9, "r": 0.3}, {"eta": 0.0}],
    "dpmpp_2m_sde": [{"eta": 0.5, "s_noise": 0.9, "solver_type": "heun"}, {"eta": 0.0}],
    "dpmpp_3m_sde": [{"eta": 0.5, "s_noise": 0.9}, {"eta": 0.0}],
    "dpm_adaptive": [{"order": 2}, {"rtol": 0.01, "pcoeff": 0.2, "dcoeff": 0.1}, {"eta": 0.5}],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_settings_of_a_sampler(name: str, sampling: Any) -> None:
    sigmas = schedule("karras", DiscreteSampling.from_betas(), 8)
    x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1)) * sigmas[0]
    for options in OPTIONS[name]:
        check(ours(name, x, sigmas, **options), theirs(name, sampling, x, sigmas, **options))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [2, 3, 7, 20, 50])
def test_a_schedule(name: str, steps: int, sampling: Any) -> None:
    from comfy.samplers import SCHEDULER_NAMES, calculate_sigmas

    assert name in SCHEDULER_NAMES
    check(
        SCHEDULES[name](DiscreteSampling.from_betas(), steps),
        calculate_sigmas(sampling, name, steps),
    )


def test_the_menus_are_in_the_same_order(comfy: ModuleType) -> None:
    from comfy.samplers import SAMPLER_NAMES, SCHEDULER_NAMES

    assert [name for name in SAMPLER_NAMES if name in SAMPLERS] == list(SAMPLERS)
    assert [name for name in SCHEDULER_NAMES if name in SCHEDULES] == list(SCHEDULES)
