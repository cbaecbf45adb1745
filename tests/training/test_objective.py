"""The objective of a diffusion model, against formulas and diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch

from controlstack.training.objective import (
    Objective,
    add_noise,
    draw_noise,
    draw_timesteps,
    min_snr_weights,
    scaled_linear_alphas,
    target,
    weighted_loss,
)
from controlstack.training.row_order import Shares
from controlstack.training.settings import TrainingSettings


def test_schedule_noise_and_velocity_are_diffusers() -> None:
    from diffusers import DDPMScheduler

    reference = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000
    )
    alphas = scaled_linear_alphas()
    assert torch.allclose(alphas, reference.alphas_cumprod, rtol=1e-4)
    latents, noise = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    times = torch.tensor([0, 20, 500, 998, 999])
    noisy = reference.add_noise(latents, noise, times)
    assert torch.allclose(add_noise(latents, noise, alphas, times), noisy, atol=1e-4)
    velocity = reference.get_velocity(latents, noise, times)
    assert torch.allclose(
        target("v_prediction", latents, noise, alphas, times), velocity, atol=1e-4
    )
    assert target("epsilon", latents, noise, alphas, times) is noise
    with pytest.raises(ValueError, match="sample"):
        target("sample", latents, noise, alphas, times)


def test_timesteps_are_uniform_and_drawn_from_their_key() -> None:
    drawn = draw_timesteps(20_000, 1000, False, 1, "t", 5)
    assert (int(drawn.min()), int(drawn.max())) == (0, 999)
    assert torch.bincount(drawn // 100).float() / 2000 == pytest.approx(torch.ones(10), abs=0.1)
    assert torch.equal(drawn, draw_timesteps(20_000, 1000, False, 1, "t", 5))
    assert not torch.equal(drawn, draw_timesteps(20_000, 1000, False, 1, "t", 6))


def test_stratified_every_slice_is_drawn_once() -> None:
    drawn = draw_timesteps(20, 1000, True, 1)
    assert sorted((drawn // 50).tolist()) == list(range(20))
    assert drawn.tolist() != sorted(drawn.tolist())


def test_offset_noise_shifts_whole_channels() -> None:
    plain, shifted = (
        draw_noise((2, 8, 8), offset, ((2, i) for i in range(400))).mean((2, 3)).std()
        for offset in (0.0, 1.0)
    )
    assert float(plain) == pytest.approx(1 / 8, rel=0.1)
    assert float(shifted) == pytest.approx((1 + 1 / 64) ** 0.5, rel=0.1)


@pytest.mark.parametrize("snr", [0.01, 1.0, 5.0, 99.0])
def test_min_snr_weights_follow_the_papers_formulas(snr: float) -> None:
    alphas, zero = torch.tensor([snr / (1 + snr)], dtype=torch.float64), torch.tensor([0])
    epsilon = float(min_snr_weights("epsilon", alphas, zero, 5.0))
    assert epsilon == pytest.approx(min(snr, 5.0) / snr)
    velocity = float(min_snr_weights("v_prediction", alphas, zero, 5.0))
    assert velocity == pytest.approx(min(snr, 5.0) / (snr + 1))


def test_min_snr_weights_are_finite_without_signal_and_without_noise() -> None:
    ends, both = torch.tensor([0.0, 1.0]), torch.tensor([0, 1])
    assert min_snr_weights("epsilon", ends, both, 5.0).tolist() == [1, 0]
    assert min_snr_weights("v_prediction", ends, both, 5.0).tolist() == [0, 0]


def test_a_weighted_loss_is_the_mean_of_the_samples_errors_times_their_weights() -> None:
    wanted = torch.zeros(2, 1, 2, 2)
    predicted = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)])
    assert float(weighted_loss(predicted, wanted)) == 5.0
    assert float(weighted_loss(predicted, wanted, torch.tensor([1.0, 0.5]))) == (1 + 4.5) / 2


@pytest.mark.parametrize("timesteps", ["uniform", "stratified"])
def test_a_step_is_noised_the_same_however_it_is_shared_out(timesteps: str) -> None:
    settings = TrainingSettings(seed=4, timesteps=timesteps, offset_noise=0.1, min_snr=5.0)
    latents = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    alphas = scaled_linear_alphas()

    def noised(shares: Shares, part: int) -> list[torch.Tensor]:
        where = shares.positions(part)
        seen = Objective(alphas, "v_prediction", settings, shares).noised(
            latents[where.start : where.stop], 7, part
        )
        assert seen.weights is not None
        return [seen.noisy, seen.timesteps, seen.wanted, seen.weights]

    whole = noised(Shares(8), 0)
    shared = [noised(Shares(2, 2, 2, process), part) for process in range(2) for part in range(2)]
    for name, parts in zip(whole, zip(*shared, strict=True), strict=True):
        assert torch.equal(name, torch.cat(parts))
