"""Nodes that change how a MODEL is sampled: on a clone, by known numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.sampling.distilled import sampling_of
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from tests.tiny import tiny_conditioning, tiny_model

FREE = {"b1": 1.5, "b2": 1.5, "s1": 0.2, "s2": 0.2}
NOTHING = dict.fromkeys(FREE, 1.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def run(node_id: str, **inputs: Any) -> Model:
    (patched,) = CORE_NODES[node_id]().run(**inputs)
    assert isinstance(patched, Model)
    return patched


def sampled(model: Model, cfg: float = 4.0) -> Tensor:
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    both = tiny_conditioning(1), tiny_conditioning(2)
    made: Tensor = ksample(model, 3, 3, cfg, "euler", "normal", *both, latent)["samples"]
    return made


@pytest.mark.parametrize("node_id", ["FreeU", "FreeU_V2"])
def test_free_u_at_1_changes_nothing_and_else_it_does(node_id: str, model: Model) -> None:
    before = sampled(model)
    same = sampled(run(node_id, model=model, **NOTHING))
    torch.testing.assert_close(same, before, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(sampled(run(node_id, model=model, **FREE)), before, atol=1e-3)
    assert torch.equal(sampled(model), before)


def test_guidance_rescaled_by_0_is_guidance(model: Model) -> None:
    before = sampled(model)
    plain = sampled(run("RescaleCFG", model=model, multiplier=0.0))
    torch.testing.assert_close(plain, before, atol=1e-4, rtol=1e-4)
    rescaled = sampled(run("RescaleCFG", model=model, multiplier=1.0), 12.0)
    assert float(rescaled.std()) < float(sampled(model, 12.0).std())


def test_what_a_model_predicts(model: Model) -> None:
    patched = run("ModelSamplingDiscrete", model=model, sampling="x0", zsnr=False)
    x, output, sigma = torch.ones(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.25), torch.tensor([2.0])
    sampling = patched.get_model_object("model_sampling")
    assert torch.equal(sampling.calculate_denoised(sigma, output, x), output)
    assert model.get_model_object("model_sampling") is not sampling
    velocity = run("ModelSamplingDiscrete", model=model, sampling="v_prediction", zsnr=True)
    assert velocity.model.model_sampling.prediction_type == "v_prediction"
    assert float(velocity.model.model_sampling.sigma_max) > 4000


def test_lcm_visits_every_twentieth_timestep() -> None:
    whole, lcm = DiscreteSampling.from_betas(), sampling_of("lcm", False)
    assert lcm.sigmas.tolist() == pytest.approx(whole.sigmas[19::20].tolist())
    assert len(lcm.sigmas) == 50
    assert lcm.ends == (999, 19)
    assert lcm.timestep(whole.sigmas[[999, 500, 0]]).tolist() == [999, 499, 19]
    assert float(lcm.sigma(torch.tensor(999))) == pytest.approx(float(whole.sigmas[999]))
    x, output = torch.ones(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.25)
    sigma = whole.sigmas[19:20]
    seen = lcm.calculate_denoised(sigma, output, x)
    share = 0.25 / (190**2 + 0.25)
    expected = 190 / (190**2 + 0.25) ** 0.5 * (1 - 0.25 * float(sigma)) + share
    assert float(seen.mean()) == pytest.approx(expected)
