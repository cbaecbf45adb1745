"""The nodes that take sampling apart: put together again they are KSampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.sample import ksample
from tests.tiny import tiny_conditioning, tiny_model

POSITIVE, NEGATIVE = tiny_conditioning(1), tiny_conditioning(2)
LATENT = {"samples": torch.zeros(1, 4, 8, 8)}


def run(node_id: str, **inputs: Any) -> Any:
    result = CORE_NODES[node_id]().run(**inputs)
    return result[0] if len(result) == 1 else result


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def sigmas(model: Model, **changed: Any) -> Tensor:
    given = {"scheduler": "karras", "steps": 4, "denoise": 1.0, **changed}
    levels: Tensor = run("BasicScheduler", model=model, **given)
    return levels


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m_sde", "lms", "euler_cfg_pp", "dpm_adaptive"])
def test_the_parts_are_the_whole(name: str, model: Model) -> None:
    sides = {"positive": POSITIVE, "negative": NEGATIVE, "cfg": 4.0}
    whole = ksample(
        model, 3, 4, sampler_name=name, scheduler="karras", latent_image=LATENT, **sides
    )
    sampler = run("KSamplerSelect", sampler_name=name)
    levels = {"sampler": sampler, "sigmas": sigmas(model), "latent_image": LATENT}
    made, _ = run("SamplerCustom", model=model, add_noise=True, noise_seed=3, **sides, **levels)
    assert torch.equal(made["samples"], whole["samples"])
    guider = run("CFGGuider", model=model, **sides)
    noise = run("RandomNoise", noise_seed=3)
    for _ in range(2):  # a guider may sample twice
        made, _ = run("SamplerCustomAdvanced", noise=noise, guider=guider, **levels)
        assert torch.equal(made["samples"], whole["samples"])


def test_a_split_run_is_the_whole_one(model: Model) -> None:
    guider = run("CFGGuider", model=model, positive=POSITIVE, negative=NEGATIVE, cfg=4.0)
    sampler = run("KSamplerSelect", sampler_name="euler")
    common = {"guider": guider, "sampler": sampler}
    noise, silence = run("RandomNoise", noise_seed=3), run("DisableNoise")
    levels = sigmas(model)
    whole, seen = run(
        "SamplerCustomAdvanced", noise=noise, sigmas=levels, latent_image=LATENT, **common
    )
    high, low = run("SplitSigmas", sigmas=levels, step=2)
    first, early = run(
        "SamplerCustomAdvanced", noise=noise, sigmas=high, latent_image=LATENT, **common
    )
    second, _ = run(
        "SamplerCustomAdvanced", noise=silence, sigmas=low, latent_image=first, **common
    )
    torch.testing.assert_close(second["samples"], whole["samples"], atol=1e-5, rtol=1e-5)
    # Euler's last step is what it took for the picture; the step before it is not.
    torch.testing.assert_close(seen["samples"], whole["samples"], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(early["samples"], first["samples"], atol=0.1)


def test_one_conditioning_is_a_cfg_of_1(model: Model) -> None:
    levels = {"sampler": run("KSamplerSelect", sampler_name="euler"), "sigmas": sigmas(model)}
    noise = run("RandomNoise", noise_seed=3)
    basic = run("BasicGuider", model=model, conditioning=POSITIVE)
    guided = run("CFGGuider", model=model, positive=POSITIVE, negative=NEGATIVE, cfg=1.0)
    one, other = (
        run("SamplerCustomAdvanced", noise=noise, guider=g, latent_image=LATENT, **levels)[0]
        for g in (basic, guided)
    )
    assert torch.equal(one["samples"], other["samples"])


def test_no_levels_leave_the_latent(model: Model) -> None:
    guider = run("BasicGuider", model=model, conditioning=POSITIVE)
    latent = {"samples": torch.ones(1, 4, 8, 8)}
    made, _ = run(
        *("SamplerCustomAdvanced",),
        noise=run("RandomNoise", noise_seed=3),
        guider=guider,
        sampler=run("KSamplerSelect", sampler_name="euler"),
        sigmas=sigmas(model, denoise=0.0),
        latent_image=latent,
    )
    assert torch.equal(made["samples"], latent["samples"])


def test_a_sampler_with_settings(model: Model) -> None:
    noiseless = run("SamplerEulerAncestral", eta=0.0, s_noise=1.0)
    euler = run("KSamplerSelect", sampler_name="euler")
    noise = run("RandomNoise", noise_seed=3)
    guider = run("BasicGuider", model=model, conditioning=POSITIVE)
    levels = {"sigmas": sigmas(model), "latent_image": LATENT}
    one, other = (
        run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=s, **levels)[0]
        for s in (noiseless, euler)
    )
    torch.testing.assert_close(one["samples"], other["samples"])


def test_a_picture_goes_back_to_its_noise(model: Model) -> None:
    """Sampling along flipped levels, and along them again the right way."""
    guider = run("BasicGuider", model=model, conditioning=POSITIVE)
    latent = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))}
    common = {"guider": guider, "sampler": run("KSamplerSelect", sampler_name="euler")}
    silence, levels = run("DisableNoise"), sigmas(model, steps=60)
    back, _ = run(
        *("SamplerCustomAdvanced",),
        **common,
        noise=silence,
        sigmas=run("FlipSigmas", sigmas=levels),
        latent_image=latent,
    )
    again, _ = run(
        "SamplerCustomAdvanced", **common, noise=silence, sigmas=levels, latent_image=back
    )
    before, after = (latent["samples"] - one["samples"] for one in (back, again))
    assert float(after.norm()) < float(before.norm()) / 4


def test_added_noise_has_the_strength_of_the_levels(model: Model) -> None:
    noisy = run(
        *("AddNoise",),
        model=model,
        noise=run("RandomNoise", noise_seed=3),
        sigmas=torch.tensor([3.0, 1.0]),
        latent_image={"samples": torch.zeros(1, 4, 32, 32)},
    )
    scale = model.model.latent_scale
    assert float(noisy["samples"].std()) * scale == pytest.approx(2.0, rel=0.05)


def test_levels() -> None:
    assert run("ManualSigmas", sigmas="3, 1; .5").tolist() == [3.0, 1.0, 0.5]
    flipped = run("FlipSigmas", sigmas=torch.tensor([2.0, 1.0, 0.0])).tolist()
    assert flipped == pytest.approx([0.0001, 1.0, 2.0])
    aligned = run("AlignYourStepsScheduler", model_type="SD1", steps=20, denoise=1.0)
    assert aligned[::2].tolist()[:3] == pytest.approx([14.6146, 6.4746, 3.8637], rel=1e-4)
    turbo = run("SDTurboScheduler", model=tiny_model(), steps=1, denoise=1.0)
    assert turbo.shape == (2,)
    with pytest.raises(UserError, match="rho is 0"):
        run("KarrasScheduler", steps=5, sigma_max=14.0, sigma_min=0.1, rho=0.0)
    with pytest.raises(UserError, match="both have to be above 0"):
        run("ExponentialScheduler", steps=5, sigma_max=14.0, sigma_min=0.0)
