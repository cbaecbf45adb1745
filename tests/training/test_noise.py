"""The noise-prediction objective."""

from __future__ import annotations

import pytest
import torch

from controlstack.training.noise import (
    add_noise,
    min_snr_loss,
    offset_noise,
    scaled_linear_alphas,
    stratified_timesteps,
)


def test_schedule_is_stable_diffusions() -> None:
    alphas = scaled_linear_alphas()
    assert alphas.shape == (1000,)
    assert float(alphas[0]) == pytest.approx(1 - 0.00085)
    assert float(alphas[-1]) == pytest.approx(0.00466, abs=1e-4)


def test_every_slice_of_timesteps_is_drawn_once() -> None:
    drawn = stratified_timesteps(20, 1000, torch.Generator().manual_seed(1))
    assert sorted((drawn // 50).tolist()) == list(range(20))


def test_offset_noise_shifts_whole_channels() -> None:
    like = torch.zeros(400, 2, 8, 8)
    plain = offset_noise(like, 0.0, torch.Generator().manual_seed(2)).mean((2, 3)).std()
    shifted = offset_noise(like, 1.0, torch.Generator().manual_seed(2)).mean((2, 3)).std()
    assert float(plain) == pytest.approx(1 / 8, rel=0.1)
    assert float(shifted) == pytest.approx((1 + 1 / 64) ** 0.5, rel=0.1)


def test_add_noise_keeps_unit_variance_of_unit_latents() -> None:
    generator = torch.Generator().manual_seed(3)
    latents, noise = torch.randn(2, 64, 4, 16, 16, generator=generator)
    noisy = add_noise(latents, noise, scaled_linear_alphas(), torch.full((64,), 500))
    assert float(noisy.var()) == pytest.approx(1.0, rel=0.05)


def test_min_snr_weighs_clean_samples_down_and_noisy_ones_not() -> None:
    alphas = torch.tensor([0.99, 0.5])
    noise = torch.zeros(1, 1, 2, 2)
    clean = min_snr_loss(noise + 1, noise, alphas, torch.tensor([0]), gamma=5.0)
    noisy = min_snr_loss(noise + 1, noise, alphas, torch.tensor([1]), gamma=5.0)
    assert float(clean) == pytest.approx(5 / 99, rel=1e-4)
    assert float(noisy) == pytest.approx(1.0)
