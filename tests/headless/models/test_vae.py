"""VAE: the unit of latents, ranges, crops, and the nodes around it."""

from __future__ import annotations

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.core_nodes.vae import decode, encode, encode_for_inpaint
from controlstack.headless.models.vae import LATENT_SCALE, Vae
from tests.headless.models.tiny_files import tiny_taesd, tiny_vae

KL, TINY = tiny_vae(), tiny_taesd()


def pixels(height: int = 16, width: int = 24, channels: int = 3) -> torch.Tensor:
    return torch.rand(2, height, width, channels, generator=torch.Generator().manual_seed(0))


def test_a_kl_encodes_to_the_mean_unscaled() -> None:
    picture = pixels()
    wanted = KL.encode(picture.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    latents = Vae(KL).encode(picture)
    assert latents.shape == (2, 4, 2, 3)
    assert torch.equal(latents, wanted)


def test_an_approximate_one_is_in_the_same_unit() -> None:
    """Its own latents are scaled already: a MODEL that multiplies by 0.18215 gets them back."""
    picture = pixels()
    latents = Vae(TINY).encode(picture)
    own = TINY.encode(picture.movedim(-1, 1) * 2 - 1).latents
    torch.testing.assert_close(latents * LATENT_SCALE, own)
    decoded = (TINY.decode(own).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    torch.testing.assert_close(Vae(TINY).decode(latents), decoded)


def test_decoding_stays_in_range_and_does_not_change_the_latent() -> None:
    latents = torch.randn(1, 4, 2, 3) * 40
    before = latents.clone()
    picture = Vae(KL).decode(latents)
    assert picture.shape == (1, 16, 24, 3)
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert torch.equal(latents, before)


def test_what_is_over_a_multiple_of_eight_is_cut_on_both_sides() -> None:
    picture = pixels(21, 27)
    assert torch.equal(Vae(KL).encode(picture), Vae(KL).encode(picture[:, 2:18, 1:25]))


def test_too_small_a_picture_and_a_latent_of_another_model() -> None:
    with pytest.raises(UserError, match="5 pixels high and this VAE needs at least 8"):
        Vae(KL).encode(pixels(5, 16))
    with pytest.raises(UserError, match=r"is \(1, 16, 2, 2\) and this VAE decodes \(batch, 4"):
        Vae(KL).decode(torch.zeros(1, 16, 2, 2))


def test_the_nodes_leave_alpha_out_and_go_there_and_back() -> None:
    vae = Vae(KL)
    latent = encode(vae, pixels(channels=4))
    assert torch.equal(latent["samples"], vae.encode(pixels(channels=4)[..., :3]))
    picture = decode(vae, latent)
    assert torch.equal(picture, vae.decode(latent["samples"]))


def test_inpainting_greys_the_mask_and_noises_a_little_more() -> None:
    vae = Vae(KL)
    mask = torch.zeros(1, 16, 24)
    mask[:, 4:8, 4:8] = 0.8
    picture = pixels()
    latent = encode_for_inpaint(vae, picture, mask, grow_mask_by=3)
    grey = picture.clone()
    grey[:, 4:8, 4:8] = 0.5
    torch.testing.assert_close(latent["samples"], vae.encode(grey))
    noised = latent["noise_mask"][0, 0]
    assert noised.shape == (16, 24)
    assert torch.equal(noised.nonzero().amin(0), torch.tensor([3, 3]))
    assert torch.equal(noised.nonzero().amax(0), torch.tensor([8, 8]))
    even = encode_for_inpaint(vae, picture, mask, grow_mask_by=6)
    assert even["noise_mask"].shape == (1, 1, 16, 24)
    same = encode_for_inpaint(vae, picture, mask, grow_mask_by=0)
    assert torch.equal(same["noise_mask"][0, 0], mask[0].round())


def test_an_inpainting_mask_is_resized_and_cut_with_the_picture() -> None:
    vae = Vae(KL)
    mask = torch.zeros(1, 10, 13)
    mask[:, :, :6] = 1
    latent = encode_for_inpaint(vae, pixels(20, 26), mask, grow_mask_by=0)
    assert latent["samples"].shape == (2, 4, 2, 3)
    assert latent["noise_mask"].shape == (1, 1, 16, 24)
    assert latent["noise_mask"][0, 0, 0].tolist() == [1.0] * 11 + [0.0] * 13
