"""SDXL's vector `y`: its values, and that U-Net and ControlNet take it."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.conditioning import convert, prepare
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.size_conditioning import sinusoids, y_of
from tests.tiny import (
    CONTEXT,
    POOLED,
    Y_WIDTH,
    tiny_conditioning,
    tiny_controlnet,
    tiny_model,
    tiny_sdxl_unet,
)

SIZE = (8, 16)


def test_sinusoids_are_diffusers_own() -> None:
    numbers = torch.tensor([0.0, 8.0, 1024.0])
    theirs = get_timestep_embedding(numbers, 256, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(sinusoids(numbers), theirs)


def test_sizes_are_the_pictures_where_nothing_is_said() -> None:
    pooled = torch.randn(1, POOLED)
    y = y_of(Y_WIDTH, {"pooled_output": pooled}, SIZE)
    assert torch.equal(y[:, :POOLED], pooled)
    assert torch.equal(y[:, POOLED:], _told(64, 128, 0, 0, 64, 128))


def test_sizes_that_are_said() -> None:
    said = {"width": 10, "height": 20, "crop_w": 3, "crop_h": 4}
    pooled = torch.randn(2, POOLED)
    y = y_of(Y_WIDTH, {"pooled_output": pooled, **said}, SIZE)
    assert torch.equal(y[:, POOLED:], _told(20, 10, 4, 3, 20, 10).expand(2, -1))
    aimed = {**said, "target_width": 7, "target_height": 8}
    y = y_of(Y_WIDTH, {"pooled_output": pooled, **aimed}, SIZE)
    assert torch.equal(y[:, POOLED:], _told(20, 10, 4, 3, 8, 7).expand(2, -1))


@pytest.mark.parametrize(("pooled", "words"), [(None, "has none"), (CONTEXT, "is 16 wide")])
def test_no_pooled_text_of_this_width(pooled: int | None, words: str) -> None:
    settings = {} if pooled is None else {"pooled_output": torch.zeros(1, pooled)}
    with pytest.raises(UserError, match=f"a pooled text 24 wide and this conditioning's {words}"):
        y_of(Y_WIDTH, settings, SIZE)


def test_the_unet_computes_what_diffusers_own_does() -> None:
    """Diffusers' SDXL U-Net makes the vector from text and numbers; ours is given it."""
    from diffusers import UNet2DConditionModel

    unet = tiny_sdxl_unet()
    config = {
        **{key: value for key, value in unet.config.items() if not key.startswith("_")},
        **{"class_embed_type": None, "addition_embed_type": "text_time"},
        "addition_time_embed_dim": 256,
    }
    theirs = UNet2DConditionModel(**config).eval()
    weights = unet.state_dict().items()
    theirs.load_state_dict({n.replace("class_embedding", "add_embedding"): w for n, w in weights})
    x, text, pooled = torch.randn(2, 4, *SIZE), torch.randn(2, 77, CONTEXT), torch.randn(2, POOLED)
    y = y_of(Y_WIDTH, {"pooled_output": pooled, "crop_w": 8}, SIZE)
    numbers = torch.tensor([[64.0, 128.0, 0.0, 8.0, 64.0, 128.0]] * 2)
    base = BaseModel(unet, DiscreteSampling.from_betas(), 1.0)
    sigma = torch.tensor([1.5, 1.5])
    with torch.no_grad():
        ours = base.apply_model(x, sigma, c_crossattn=text, y=y)
        output = theirs(
            base.model_sampling.calculate_input(sigma, x),
            base.model_sampling.timestep(sigma).float(),
            text,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": numbers},
        ).sample
        other = base.apply_model(x, sigma, c_crossattn=text, y=y.flip(0))
    torch.testing.assert_close(ours, base.model_sampling.calculate_denoised(sigma, output, x))
    assert not torch.allclose(ours, other, rtol=1e-3)


def test_a_control_net_is_given_the_unets_vector() -> None:
    unet = tiny_sdxl_unet()
    net = ControlNet(tiny_controlnet(unet)).set_cond_hint(torch.rand(1, 3, 64, 128))
    model = tiny_model(unet)
    net.pre_run(model.model, model.model.model_sampling.percent_to_sigma)
    x, text = torch.randn(2, 4, *SIZE), torch.randn(2, 77, CONTEXT)
    y = torch.randn(2, Y_WIDTH)
    with torch.no_grad():
        cond = {"c_crossattn": text, "y": y}
        found = net.get_control(x, torch.tensor([1.5, 1.5]), cond, 2)
        straight = net.network(
            model.model.model_sampling.calculate_input(torch.tensor(1.5), x),
            model.model.model_sampling.timestep(torch.tensor([1.5, 1.5])).float(),
            text,
            net.network.encode_hint(torch.nn.functional.interpolate(net.hint, (64, 128))),
            1.0,
            y,
        )
    assert found is not None
    for one, other in zip(found["output"], straight[0], strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(UserError, match=r"takes a vector 1560 wide .* this model gives none"):
        net.get_control(x, torch.tensor([1.5, 1.5]), {"c_crossattn": text}, 2)


def test_each_side_has_its_own_vector() -> None:
    sides = [_conditioning(seed) for seed in (1, 2)]
    base = tiny_model(tiny_sdxl_unet()).model
    noise = torch.randn(1, 4, *SIZE)
    ready = prepare(base, [convert(side) for side in sides], noise, noise, None)
    for (entry,), side in zip(ready, sides, strict=True):
        assert torch.equal(entry["model_conds"]["y"], y_of(Y_WIDTH, side[0][1], SIZE))


def test_a_plain_unet_is_given_none() -> None:
    base = Model(tiny_model().model).model
    noise = torch.randn(1, 4, *SIZE)
    side = convert(_conditioning(1))
    assert "y" not in prepare(base, [side, side], noise, noise, None)[0][0]["model_conds"]


def _conditioning(seed: int) -> list[list[object]]:
    pooled = torch.randn(1, POOLED, generator=torch.Generator().manual_seed(seed))
    return [[tiny_conditioning(seed)[0][0], {"pooled_output": pooled}]]


def _told(*numbers: float) -> Tensor:
    return sinusoids(torch.tensor(numbers)).flatten()[None]
