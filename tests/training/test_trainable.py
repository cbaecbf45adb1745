"""The trainable copy starts as nothing; its ablations by their names; all of it from a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from controlstack.ground.errors import UserError
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import (
    control_net_from,
    controlled,
    copied_weights,
    hint_channels,
    new_weights,
    started_from,
    weights_hash,
)
from tests.tiny import CONTEXT, tiny_controlnet, tiny_unet
from tests.training.unets import sd2_unet

NET = NetSettings(hint_channels="4,4,8,8")
KINDS = ("controlnet", "gaussian", "lite")


def inputs(n: int = 2, height: int = 8, width: int = 8) -> tuple[Tensor, ...]:
    """Noisy latents, timesteps, words and hints for the tiny U-Net."""
    generator = torch.Generator().manual_seed(5)
    return (
        torch.randn(n, 4, height, width, generator=generator),
        torch.linspace(3, 900, n).long(),
        torch.randn(n, 3, CONTEXT, generator=generator),
        torch.rand(n, 3, 8 * height, 8 * width, generator=generator),
    )


@torch.no_grad()
def difference(unet: Any, network: Any) -> float:
    """How far the network moves the U-Net's prediction at most."""
    noisy, times, words, hints = inputs()
    plain = unet(noisy, times, words).sample
    return float((controlled(unet, network, noisy, times, words, hints) - plain).abs().max())


@pytest.mark.parametrize("make", [tiny_unet, sd2_unet])
def test_an_untrained_copy_adds_exactly_nothing(make: Any) -> None:
    unet = make()
    assert difference(unet, control_net_from(unet, NET)) == 0


def test_an_untrained_lite_network_adds_exactly_nothing() -> None:
    unet = tiny_unet()
    assert difference(unet, control_net_from(unet, replace(NET, kind="lite"))) == 0


def test_ordinary_convolutions_disturb_the_base_from_the_start() -> None:
    unet = tiny_unet()
    network = control_net_from(unet, replace(NET, kind="gaussian"))
    assert difference(unet, network) > 0.01
    ends = [*network.controlnet_down_blocks, network.controlnet_mid_block]
    for end in (*ends, network.controlnet_cond_embedding.conv_out):
        fan_in = end.weight[0].numel()
        assert float(end.weight.detach().std()) == pytest.approx(fan_in**-0.5, rel=0.35)
        assert not end.bias.any()


@pytest.mark.parametrize("make", [tiny_unet, sd2_unet])
def test_the_copy_has_the_encoders_weights_and_they_are_its_own(make: Any) -> None:
    unet = make()
    network = control_net_from(unet, NET)
    for part in ("conv_in", "time_embedding", "down_blocks", "mid_block"):
        theirs = getattr(unet, part).state_dict()
        for name, weight in getattr(network, part).state_dict().items():
            assert torch.equal(weight, theirs[name])
            assert weight.data_ptr() != theirs[name].data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_stays_as_it_was(kind: str) -> None:
    unet = tiny_unet()
    before = weights_hash(unet)
    network = control_net_from(unet, replace(NET, kind=kind))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert weights_hash(unet) == before
    assert not any(parameter.requires_grad for parameter in unet.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_in_one_group_and_learns(kind: str) -> None:
    network = control_net_from(tiny_unet(), replace(NET, kind=kind))
    groups = [*copied_weights(network), *new_weights(network)]
    assert sorted(map(id, groups)) == sorted(map(id, network.parameters()))
    assert all(parameter.requires_grad for parameter in groups)
    assert bool(copied_weights(network)) == (kind != "lite")


def test_what_is_new_are_zero_convolutions_and_hint_encoder() -> None:
    network = control_net_from(tiny_unet(), NET)
    parts = nn.ModuleList([network.controlnet_down_blocks, network.controlnet_mid_block])
    wanted = {
        id(p) for part in (parts, network.controlnet_cond_embedding) for p in part.parameters()
    }
    assert {id(p) for p in new_weights(network)} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_alone_decides_the_new_weights(kind: str) -> None:
    unet, net = tiny_unet(), replace(NET, kind=kind)
    torch.manual_seed(1)
    first = control_net_from(unet, net, seed=7)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn), "random numbers outside were used up"
    assert weights_hash(control_net_from(unet, net, seed=7)) == weights_hash(first)
    assert weights_hash(control_net_from(unet, net, seed=8)) != weights_hash(first)


def test_amplified_hints_reach_further() -> None:
    unet = tiny_unet()
    plain = control_net_from(unet, NET).controlnet_cond_embedding
    loud = control_net_from(unet, replace(NET, hint_gain=2.5)).controlnet_cond_embedding
    layers = [(encoder.conv_in, *encoder.blocks) for encoder in (plain, loud)]
    for quiet, amplified in zip(*layers, strict=True):
        assert torch.equal(amplified.weight, quiet.weight * 2.5)
        assert torch.equal(amplified.bias, quiet.bias)


def test_weights_are_kept_in_full_precision() -> None:
    unet = tiny_unet().half()
    network = control_net_from(unet, NET)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.equal(network.conv_in.weight, unet.conv_in.weight.float())


def test_an_existing_network_is_copied_and_left_alone() -> None:
    unet = tiny_unet()
    old = tiny_controlnet(unet)
    before = weights_hash(old)
    started = started_from(old, unet)
    assert weights_hash(started) == before
    assert started.training
    assert all(parameter.requires_grad for parameter in started.parameters())
    with torch.no_grad():
        started.conv_in.weight.add_(1)
    assert weights_hash(old) == before


@pytest.mark.parametrize("kind", ["controlnet", "lite"])
def test_a_network_of_another_base_is_refused_by_what_differs(kind: str) -> None:
    other = control_net_from(tiny_unet(layers=1), replace(NET, kind=kind))
    with pytest.raises(UserError, match="layers_per_block is 1, and the base has 2"):
        started_from(other, tiny_unet())


def test_one_value_for_all_levels_is_the_same_as_one_for_each() -> None:
    network = control_net_from(tiny_unet(), NET)
    network.register_to_config(attention_head_dim=[2, 2, 2, 2], block_out_channels=[8, 16, 16, 16])
    started_from(network, tiny_unet())
    network.register_to_config(attention_head_dim=[2, 2, 2, 4])
    with pytest.raises(UserError, match="attention_head_dim is 2, 2, 2, 4, and the base has 2"):
        started_from(network, tiny_unet())


def test_bases_that_cannot_be_trained_on_are_refused() -> None:
    from diffusers import UNet2DConditionModel, UNet2DModel

    with pytest.raises(UserError, match="not a U-Net but a Linear"):
        control_net_from(nn.Linear(2, 2), NET)
    with pytest.raises(UserError, match="not a U-Net but a UNet2DModel"):
        control_net_from(UNet2DModel(block_out_channels=(32, 32, 32, 32)), NET)
    with pytest.raises(UserError, match=r"takes 9 channels and gives 4: .* inpainting"):
        control_net_from(tiny_unet(in_channels=9), NET)
    classes = UNet2DConditionModel(
        block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, cross_attention_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=2,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), class_embed_type="timestep",
    )  # fmt: skip
    with pytest.raises(UserError, match=r"of another family .class_embed_type: 'timestep'"):
        control_net_from(classes, NET)


@pytest.mark.parametrize("text", ["", "16,32,96", "16,32,96,0", "16;32;96;256", "16,32,96,-1"])
def test_wrong_hint_channels_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"hint_channels is .*give 4 numbers"):
        control_net_from(tiny_unet(), replace(NET, hint_channels=text))


def test_hint_channels_are_read() -> None:
    assert hint_channels(" 16, 32,96,256 ") == (16, 32, 96, 256)


def test_a_hash_sees_the_smallest_change() -> None:
    layer = nn.Linear(2, 2)
    before = weights_hash(layer)
    assert weights_hash(layer) == before
    with torch.no_grad():
        layer.bias[0] += 1e-6
    assert weights_hash(layer) != before
