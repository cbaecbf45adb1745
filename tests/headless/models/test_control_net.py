"""CONTROL_NET on the embedded host: percent rule, batches, chains, and a cache that is exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models.control_base import broadcast_batch
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.resize import resize
from controlstack.headless.sampling.base_model import BaseModel
from tests.tiny import tiny_controlnet, tiny_model, tiny_unet

UNET = tiny_unet()
NETWORK = tiny_controlnet(UNET)


@pytest.fixture
def base() -> BaseModel:
    return tiny_model(UNET).model


def hint(seed: int = 0, size: int = 64, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def inputs(batch: int = 2, sigma: float = 3.0) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(batch, 4, 8, 8, generator=generator) * sigma
    context = torch.randn(batch, 77, 16, generator=generator)
    return x, torch.full((batch,), sigma), {"c_crossattn": context}


def control(net: ControlNet, base: BaseModel, sigma: float = 3.0, batch: int = 2) -> Any:
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    try:
        x, t, cond = inputs(batch, sigma)
        return net.get_control(x, t, cond, 2, {})
    finally:
        net.cleanup()


def flat(residuals: dict[str, list[Tensor]]) -> list[Tensor]:
    return [*residuals["output"], *residuals["middle"]]


def test_residuals_are_bit_for_bit_those_of_the_uncached_network(base: BaseModel) -> None:
    x, t, cond = inputs()
    picture = hint()
    sampling = base.model_sampling
    down, middle = NETWORK(
        sampling.calculate_input(t, x),
        sampling.timestep(t).float(),
        cond["c_crossattn"],
        picture,
        return_dict=False,
    )
    net = ControlNet(NETWORK).set_cond_hint(picture)
    net.pre_run(base, sampling.percent_to_sigma)
    for _ in range(2):  # the second time the hint's embedding comes from the cache
        mine = net.get_control(x, t, cond, 2, {})
        assert mine is not None
        assert mine["input"] == []
        assert [r.shape for r in flat(mine)] == [r.shape for r in (*down, middle)]
        assert all(torch.equal(a, b) for a, b in zip(flat(mine), (*down, middle), strict=True))


def test_the_hint_is_encoded_once_a_run_and_forgotten_after_it(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = ControlNet(NETWORK).set_cond_hint(hint())
    calls: list[int] = []
    encode = net.network.encode_hint
    monkeypatch.setattr(
        net.network, "encode_hint", lambda *given: (calls.append(1), encode(*given))[1]
    )
    for _ in range(2):
        net.pre_run(base, base.model_sampling.percent_to_sigma)
        for sigma in (9.0, 3.0, 1.0):
            x, t, cond = inputs(sigma=sigma)
            net.get_control(x, t, cond, 2, {})
        net.cleanup()
    assert len(calls) == 2


def test_the_network_given_is_left_whole() -> None:
    network = tiny_controlnet(UNET)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    ControlNet(network)
    assert network.state_dict().keys() == before.keys()
    assert type(network.controlnet_cond_embedding).__name__ == "ControlNetConditioningEmbedding"


def test_fresh_lists_and_tensors_at_every_call(base: BaseModel) -> None:
    net = ControlNet(NETWORK).set_cond_hint(hint())
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    x, t, cond = inputs()
    first = net.get_control(x, t, cond, 2, {})
    assert first is not None
    kept = [r.clone() for r in flat(first)]
    for residual in flat(first):
        residual.add_(1)  # the core's U-Net adds in place
    first["output"].clear()
    second = net.get_control(x, t, cond, 2, {})
    assert second is not None
    assert all(torch.equal(a, b) for a, b in zip(flat(second), kept, strict=True))


def test_strength_scales_every_residual(base: BaseModel) -> None:
    whole = control(ControlNet(NETWORK).set_cond_hint(hint()), base)
    half = control(ControlNet(NETWORK).set_cond_hint(hint(), 0.5), base)
    assert all(torch.equal(a * 0.5, b) for a, b in zip(flat(whole), flat(half), strict=True))


def test_the_percent_range_is_inclusive_at_both_ends(base: BaseModel) -> None:
    sampling = base.model_sampling
    at = {percent: sampling.percent_to_sigma(percent) for percent in (0.25, 0.75)}
    net = ControlNet(NETWORK).set_cond_hint(hint(), 1.0, (0.25, 0.75))
    for sigma in at.values():
        assert control(net, base, sigma) is not None
    assert control(net, base, at[0.25] * 1.001) is None
    assert control(net, base, at[0.75] * 0.999) is None


def test_a_chain_adds_up_and_outlives_a_link_that_is_out_of_range(base: BaseModel) -> None:
    first = ControlNet(NETWORK).set_cond_hint(hint(1), 0.7)
    second = ControlNet(tiny_controlnet(UNET, seed=5)).set_cond_hint(hint(2))
    alone = [control(net, base) for net in (first, second)]
    second.set_previous_controlnet(first)
    both = control(second, base)
    for a, b, c in zip(flat(alone[0]), flat(alone[1]), flat(both), strict=True):
        assert torch.equal(a + b, c)
    second.timestep_percent_range = (0.9, 1.0)
    late = control(second, base)
    assert all(torch.equal(a, b) for a, b in zip(flat(alone[0]), flat(late), strict=True))
    assert second.get_models() == [first.network, second.network]


def test_a_copy_shares_weights_but_not_hint_run_or_chain(base: BaseModel) -> None:
    net = ControlNet(NETWORK).set_cond_hint(hint(), 0.3, (0.1, 0.2))
    net.set_previous_controlnet(ControlNet(NETWORK))
    other = net.copy()
    assert other.network is net.network
    assert other.previous_controlnet is None
    assert (other.strength, other.timestep_percent_range) == (0.3, (0.1, 0.2))
    other.set_cond_hint(hint(1), 1.0)
    assert net.strength == 0.3
    with pytest.raises(RuntimeError, match="before pre_run"):
        other.get_control(*inputs(), 2, {})


def test_global_average_pooling_takes_the_mean_over_the_picture(base: BaseModel) -> None:
    plain = control(ControlNet(NETWORK).set_cond_hint(hint()), base)
    pooled = control(
        ControlNet(NETWORK, global_average_pooling=True).set_cond_hint(hint()).copy(), base
    )
    for a, b in zip(flat(plain), flat(pooled), strict=True):
        assert torch.equal(a.mean(dim=(2, 3), keepdim=True).expand_as(a), b)


def test_a_hint_of_another_shape_is_cut_to_the_centre_and_resized(base: BaseModel) -> None:
    wide = torch.zeros(1, 3, 128, 192)
    wide[..., 32:160] = hint(4, 128)
    square = control(ControlNet(NETWORK).set_cond_hint(hint(4, 128)), base)
    cut = control(ControlNet(NETWORK).set_cond_hint(wide), base)
    assert all(torch.equal(a, b) for a, b in zip(flat(square), flat(cut), strict=True))


def test_a_net_of_another_family_says_both_numbers(base: BaseModel) -> None:
    from diffusers import ControlNetModel

    other = ControlNetModel.from_config(dict(NETWORK.config), cross_attention_dim=24)
    net = ControlNet(other, "sdxl_canny").set_cond_hint(hint())
    with pytest.raises(UserError, match=r"sdxl_canny .*the text is 24 in the net and 16 in the"):
        net.pre_run(base, base.model_sampling.percent_to_sigma)


def test_a_union_type_on_a_plain_net_is_refused_and_auto_is_not() -> None:
    net = ControlNet(NETWORK, "canny")
    net.set_extra_arg("control_type", [])
    with pytest.raises(UserError, match="canny is no union ControlNet"):
        net.set_extra_arg("control_type", [3])


def test_extra_channels_are_refused() -> None:
    with pytest.raises(UserError, match="no inpainting"):
        ControlNet(NETWORK).set_cond_hint(hint(), extra_concat=[torch.ones(1)])


def test_no_hint_is_said(base: BaseModel) -> None:
    with pytest.raises(UserError, match="no hint image"):
        control(ControlNet(NETWORK, "depth"), base)


@pytest.mark.parametrize(
    ("hints", "batch", "blocks", "rows"),
    [
        (1, 4, 2, [0]),
        (2, 4, 2, [0, 1, 0, 1]),
        (3, 4, 2, [0, 1, 0, 1]),
        (2, 6, 2, [0, 1, 0, 0, 1, 0]),
        (4, 4, 2, [0, 1, 2, 3]),
        (2, 3, 1, [0, 1, 0]),
    ],
)
def test_broadcast_batch(hints: int, batch: int, blocks: int, rows: list[int]) -> None:
    images = torch.arange(hints).view(hints, 1)
    assert broadcast_batch(images, batch, blocks).flatten().tolist() == rows


def test_hints_are_cut_and_picked_from_the_centre() -> None:
    image = torch.arange(10.0).view(1, 1, 1, 10).expand(1, 1, 4, 10)
    assert resize(image, 4, 4, "nearest-exact", "center")[0, 0, 0].tolist() == [3, 4, 5, 6]
    assert resize(image[..., :4], 2, 2, "nearest-exact", "center")[0, 0, 0].tolist() == [1, 3]


def test_a_hint_with_other_channels_says_both_numbers(base: BaseModel) -> None:
    net = ControlNet(NETWORK, "depth").set_cond_hint(torch.rand(1, 1, 64, 64))
    with pytest.raises(UserError, match="depth was given a hint of 1 channels and takes 3"):
        control(net, base)
