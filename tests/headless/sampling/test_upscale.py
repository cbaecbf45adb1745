"""Latents at another size."""

from __future__ import annotations

import pytest
import torch

from controlstack.headless.sampling.upscale import METHODS, bislerp, upscale

NOISE = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("crop", ["disabled", "center"])
def test_size_and_flat_areas(method: str, crop: str) -> None:
    flat = torch.full((1, 4, 8, 12), 0.25)
    result = upscale(flat, 20, 10, method, crop)
    assert result.shape == (1, 4, 10, 20)
    torch.testing.assert_close(result, torch.full_like(result, 0.25))


def test_bislerp_of_the_same_size_changes_nothing() -> None:
    torch.testing.assert_close(bislerp(NOISE, 12, 8), NOISE)


def test_bislerp_turns_at_constant_speed() -> None:
    # Two channels: from (1, 0) to (0, 2), three quarters of the way between their centres.
    pair = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(1, 2, 1, 2)
    result = bislerp(pair, 4, 1)[0, :, 0]
    angle = torch.atan2(result[1], result[0])
    quarter = torch.pi / 8
    torch.testing.assert_close(angle, torch.tensor([0.0, quarter, 3 * quarter, 4 * quarter]))
    torch.testing.assert_close(result.norm(dim=0), torch.tensor([1.0, 1.25, 1.75, 2.0]))


def test_bislerp_keeps_the_strength_of_noise() -> None:
    larger = bislerp(NOISE, 24, 16)
    smaller = upscale(NOISE, 24, 16, "bilinear")
    strength = NOISE.norm(dim=1).mean()
    assert float(larger.norm(dim=1).mean() / strength) == pytest.approx(1.0, abs=0.05)
    assert float(smaller.norm(dim=1).mean() / strength) < 0.9


def test_opposite_vectors_are_mixed_straight() -> None:
    pair = torch.tensor([[1.0, -1.0], [0.0, 0.0]]).view(1, 2, 1, 2)
    torch.testing.assert_close(bislerp(pair, 4, 1)[0, 0, 0], torch.tensor([1.0, 0.5, -0.5, -1.0]))
