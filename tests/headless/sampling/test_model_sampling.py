"""The noise schedule: its table against the definition, its algebra against the forward process."""

from __future__ import annotations

import math

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling


def sigmas_by_hand(start: float = 0.00085, end: float = 0.012, steps: int = 1000) -> list[float]:
    """Return the definition in plain Python: betas evenly spaced in their square root."""
    kept, sigmas = 1.0, []
    for step in range(steps):
        root = start**0.5 + (end**0.5 - start**0.5) * step / (steps - 1)
        kept *= 1 - root**2
        sigmas.append(math.sqrt((1 - kept) / kept))
    return sigmas


def test_table_is_the_definition() -> None:
    sampling = DiscreteSampling.from_betas()
    assert sampling.sigmas.tolist() == pytest.approx(sigmas_by_hand(), rel=1e-6)
    # Stable Diffusion 1.x's published ends.
    assert float(sampling.sigma_min) == pytest.approx(0.02917, rel=1e-4)
    assert float(sampling.sigma_max) == pytest.approx(14.6146, rel=1e-4)


def test_scheduler_config_of_sd1() -> None:
    config = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
    }
    sampling = DiscreteSampling.from_scheduler_config(config)
    assert torch.equal(sampling.sigmas, DiscreteSampling.from_betas().sigmas)
    assert sampling.prediction_type == "v_prediction"


def test_trained_betas_are_taken_as_they_are() -> None:
    sampling = DiscreteSampling.from_scheduler_config({"trained_betas": [0.1, 0.2]})
    kept = [0.9, 0.9 * 0.8]
    assert sampling.sigmas.tolist() == pytest.approx([math.sqrt((1 - a) / a) for a in kept])


def test_linear_betas() -> None:
    sampling = DiscreteSampling.from_betas(0.1, 0.3, 3, schedule="linear")
    kept = [0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7]
    assert sampling.sigmas.tolist() == pytest.approx([math.sqrt((1 - a) / a) for a in kept])


def test_zero_terminal_snr_keeps_the_first_and_drowns_the_last() -> None:
    plain = DiscreteSampling.from_betas()
    rescaled = DiscreteSampling.from_betas(zero_terminal_snr=True)
    assert float(rescaled.sigma_min) == pytest.approx(float(plain.sigma_min), rel=1e-5)
    assert 4000 < float(rescaled.sigma_max) < 5000
    assert bool((rescaled.sigmas.diff() > 0).all())


def test_timestep_finds_every_sigma_of_the_table_again() -> None:
    sampling = DiscreteSampling.from_betas()
    assert sampling.timestep(sampling.sigmas).tolist() == list(range(1000))
    assert sampling.timestep(torch.tensor([1e-6, 1e6])).tolist() == [0, 999]


def test_sigma_between_timesteps_is_the_geometric_mean() -> None:
    sampling = DiscreteSampling.from_betas()
    expected = math.sqrt(float(sampling.sigmas[500] * sampling.sigmas[501]))
    assert float(sampling.sigma(torch.tensor(500.5))) == pytest.approx(expected, rel=1e-5)


def test_percent_is_linear_in_the_timestep() -> None:
    sampling = DiscreteSampling.from_betas()
    assert sampling.percent_to_sigma(0.0) > float(sampling.sigma_max)
    assert sampling.percent_to_sigma(1.0) < float(sampling.sigma_min)
    halfway = math.sqrt(float(sampling.sigmas[499] * sampling.sigmas[500]))
    assert sampling.percent_to_sigma(0.5) == pytest.approx(halfway, rel=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_gives_the_picture_back(prediction: str) -> None:
    sampling = DiscreteSampling.from_betas(prediction_type=prediction)
    picture, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 1.0, 12.0])
    column = sigma.view(3, 1, 1, 1)
    alpha = 1 / (1 + column**2).sqrt()
    output = noise if prediction == "epsilon" else alpha * noise - alpha * column * picture
    x = sampling.noise_scaling(sigma, noise, picture)
    torch.testing.assert_close(
        sampling.calculate_denoised(sigma, output, x), picture, atol=1e-5, rtol=1e-4
    )
    preserved = alpha * picture + alpha * column * noise
    torch.testing.assert_close(sampling.calculate_input(sigma, x), preserved)


def test_max_denoise_has_the_variance_of_a_noised_picture() -> None:
    sampling = DiscreteSampling.from_betas()
    noise, nothing = torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    scaled = sampling.noise_scaling(torch.tensor(3.0), noise, nothing, max_denoise=True)
    assert scaled.flatten().tolist() == pytest.approx([math.sqrt(10.0)] * 16)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"prediction_type": "flow_prediction"}, "flow_prediction"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "squaredcos_cap_v2"),
    ],
)
def test_other_families_are_named(config: dict[str, str], word: str) -> None:
    with pytest.raises(UserError, match=word):
        DiscreteSampling.from_scheduler_config(config)
