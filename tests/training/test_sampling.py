"""DDIM with classifier-free guidance, against its formula written out here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.training.base import Base
from controlstack.training.sampling import sample
from tests.tiny import CONTEXT, tiny_controlnet
from tests.training.unets import sd15_unet

ALPHAS = torch.cumprod(1 - torch.linspace(0.001, 0.02, 50, dtype=torch.float64), 0).float()


def base(prediction: str = "epsilon") -> Base:
    return Base(sd15_unet(), ALPHAS, prediction)


def words(seed: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 77, CONTEXT, generator=generator)


def hints(count: int = 1) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def by_hand(of: Base, network: Any, hint: Tensor, prompt: Tensor, empty: Tensor) -> Tensor:
    """Five steps at guidance 3 from noise of seed 4; trailing timesteps are 49, 39, 29, 19, 9."""
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    for t, after in ((49, 39), (39, 29), (29, 19), (19, 9), (9, None)):
        found = []
        for text in (empty, prompt):
            more = {}
            if network is not None:
                down, middle = network(x, t, text, hint, return_dict=False)
                more = {
                    "down_block_additional_residuals": down,
                    "mid_block_additional_residual": middle,
                }
            found.append(of.unet(x, t, text, **more).sample)
        out = found[0] + 3 * (found[1] - found[0])
        a = ALPHAS[t]
        b = ALPHAS[after] if after is not None else torch.tensor(1.0)
        if of.prediction == "epsilon":
            noise, clean = out, (x - (1 - a).sqrt() * out) / a.sqrt()
        else:
            noise = a.sqrt() * out + (1 - a).sqrt() * x
            clean = a.sqrt() * x - (1 - a).sqrt() * out
        x = b.sqrt() * clean + (1 - b).sqrt() * noise
    return x


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steered", [False, True])
def test_ddim_with_guidance(prediction: str, steered: bool) -> None:
    of = base(prediction)
    network = tiny_controlnet(of.unet) if steered else None
    found = sample(of, network, hints(), words(1), words(2), [4], steps=5, guidance=3.0)
    wanted = by_hand(of, network, hints(), words(1), words(2))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_guidance_1_does_not_ask_for_the_empty_prompt() -> None:
    of = base()
    one, other = (sample(of, None, hints(), words(1), words(n), [4], 3, 1.0) for n in (2, 3))
    assert torch.equal(one, other)


def test_a_picture_depends_on_its_own_seed_alone() -> None:
    of = base()
    network = tiny_controlnet(of.unet)
    both = sample(of, network, hints(2), words(1, 2), words(2), [4, 9], 3, 3.0)
    alone = sample(of, network, hints(2)[1:], words(1, 2)[1:], words(2), [9], 3, 3.0)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


def test_an_untrained_copy_changes_nothing() -> None:
    of = base()
    network = tiny_controlnet(of.unet, zero=True)
    found = sample(of, network, hints(), words(1), words(2), [4], 3, 3.0)
    assert torch.equal(found, sample(of, None, hints(), words(1), words(2), [4], 3, 3.0))
