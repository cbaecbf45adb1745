"""The analytic encoder says what it claims."""

from __future__ import annotations

import numpy as np
import torch

from controlstack.demo.build_vae import LATENT_DEVIATION, LATENT_MEAN, new_vae


def test_latents_are_block_means_colour_differences_and_a_diagonal() -> None:
    rng = np.random.default_rng(0)
    rgb = torch.from_numpy(rng.random((1, 3, 32, 32), np.float32))
    vae = new_vae()
    with torch.no_grad():
        latents = vae.encode(rgb * 2 - 1).latents * vae.config.scaling_factor
    red, green, blue = rgb.reshape(1, 3, 4, 8, 4, 8).mean((3, 5)).unbind(1)
    corners = rgb.mean(1).reshape(1, 4, 2, 4, 4, 2, 4).mean((3, 6))
    wanted = torch.stack(
        [
            (red + green + blue) / 3,
            red - blue,
            green - (red + blue) / 2,
            corners[:, :, 0, :, 0] - corners[:, :, 1, :, 1],
        ],
        1,
    )
    mean, deviation = (
        torch.tensor(v)[None, :, None, None] for v in (LATENT_MEAN, LATENT_DEVIATION)
    )
    assert torch.allclose(latents, (wanted - mean) / deviation, atol=1e-4)


def test_the_encoder_is_frozen() -> None:
    assert not any(p.requires_grad for p in new_vae().encoder.parameters())
