"""Noise: the numbers that a seed stands for, and the laws of a Brownian path."""

from __future__ import annotations

import warnings

import pytest
import torch

from controlstack.headless.sampling.noise import brownian, gaussian, starting_noise

LATENT = torch.zeros(2, 4, 8, 8)
SIGMAS = torch.tensor([14.614642, 7.0, 1.3, 0.0291675, 0.0])


def test_a_seed_stands_for_torchs_own_numbers() -> None:
    with torch.random.fork_rng():
        expected = torch.randn(2, 4, 8, 8, generator=torch.manual_seed(5))
    assert torch.equal(starting_noise(LATENT, 5), expected)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    starting_noise(LATENT, 5)
    gaussian(LATENT, SIGMAS, 5)(SIGMAS[0], SIGMAS[1])
    brownian(LATENT, SIGMAS, 5)(SIGMAS[0], SIGMAS[1])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batch_index_chooses_rows_drawn_one_by_one() -> None:
    generator = torch.Generator().manual_seed(9)
    rows = [torch.randn(1, 4, 8, 8, generator=generator) for _ in range(4)]
    chosen = starting_noise(torch.zeros(3, 4, 8, 8), 9, [3, 1, 3])
    assert torch.equal(chosen, torch.cat([rows[3], rows[1], rows[3]]))


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_step_noise_is_fresh_repeatable_and_not_the_starting_noise(seed: int) -> None:
    first, second = (gaussian(LATENT, SIGMAS, seed) for _ in range(2))
    drawn = first(SIGMAS[0], SIGMAS[1])
    assert torch.equal(drawn, second(SIGMAS[0], SIGMAS[1]))
    assert not torch.equal(drawn, first(SIGMAS[1], SIGMAS[2]))
    assert not torch.equal(drawn, starting_noise(LATENT, seed))


def test_brownian_increments_add_up() -> None:
    noise = brownian(LATENT, SIGMAS, 3)
    a, b, c = SIGMAS[:3]

    def increment(high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        return noise(high, low) * (high - low).sqrt()

    torch.testing.assert_close(
        increment(a, c), increment(a, b) + increment(b, c), atol=1e-4, rtol=1e-4
    )


def test_brownian_noise_is_standard_normal_and_seeded() -> None:
    wide = torch.zeros(1, 4, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = brownian(wide, SIGMAS, 3)(SIGMAS[0], SIGMAS[3])
        other = brownian(wide, SIGMAS, 4)(SIGMAS[0], SIGMAS[3])
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.05)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(drawn, other)
