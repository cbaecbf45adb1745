"""ControlNet-lite: residuals of the copy's shapes from a fraction of its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from controlstack.headless.models.control_net import HintedNetwork
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from
from tests.tiny import CONTEXT, tiny_unet
from tests.training.unets import sd2_unet

NET = NetSettings(kind="lite", hint_channels="4,4,8,8")


def shallow_unet() -> Any:
    """One layer, two levels, and the downsampling of `downsample_padding` 0."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0,
        cross_attention_dim=CONTEXT,
        attention_head_dim=2,
        norm_num_groups=4,
    )


def inputs(height: int = 8, width: int = 8) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(2, 4, height, width, generator=generator),
        torch.tensor([5, 800]),
        torch.randn(2, 3, CONTEXT, generator=generator),
        torch.rand(2, 3, 8 * height, 8 * width, generator=generator),
    )


def trained(unet: Any) -> Any:
    """A lite network whose zero convolutions have learnt something."""
    network = control_net_from(unet, NET, seed=1)
    torch.manual_seed(4)
    for end in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        nn.init.normal_(end.weight, std=0.1)
    nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=0.1)
    return network


@pytest.mark.parametrize("make", [tiny_unet, sd2_unet, shallow_unet])
@pytest.mark.parametrize("size", [(8, 8), (9, 15), (7, 10)])
@torch.no_grad()
def test_its_residuals_have_the_shapes_of_the_copys(make: Any, size: tuple[int, int]) -> None:
    unet = make()
    copy, lite = (control_net_from(unet, replace(NET, kind=k)) for k in ("controlnet", "lite"))
    wanted, wanted_middle = copy(*inputs(*size), return_dict=False)
    found, middle = lite(*inputs(*size), return_dict=False)
    assert [r.shape for r in found] == [r.shape for r in wanted]
    assert middle.shape == wanted_middle.shape


@torch.no_grad()
def test_it_reads_latent_and_hint_and_neither_time_nor_text() -> None:
    network = trained(tiny_unet())
    noisy, times, words, hints = inputs()

    def middle(*given: Tensor) -> Tensor:
        result: Tensor = network(*given, return_dict=False)[1]
        return result

    plain = middle(noisy, times, words, hints)
    assert torch.equal(middle(noisy, times + 1, words * 2, hints), plain)
    assert not torch.equal(middle(noisy * 2, times, words, hints), plain)
    assert not torch.equal(middle(noisy, times, words, 1 - hints), plain)


def test_every_weight_gets_a_gradient_once_its_ends_are_not_zero() -> None:
    network = trained(tiny_unet())
    down, middle = network(*inputs(), return_dict=False)
    sum(r.square().sum() for r in (*down, middle)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_a_signal_reaches_the_deepest_block() -> None:
    """Within tenfold of its strength. Torch's usual initialisation leaves a 50 000th of it, and
    nothing is learnt there for as long.
    """
    from controlstack.training.lite import LiteControlNet

    torch.manual_seed(0)
    network = LiteControlNet(block_out_channels=(64, 128, 128, 128))
    features = network.latent_in(torch.randn(1, 4, 64, 64))
    first = float(features.std())
    for block in network.blocks:
        features = functional.silu(block(features))
    assert first / 10 < float(features.std()) < first * 10


def test_checkpointing_gives_the_same_gradients() -> None:
    grads = []
    for checkpointing in (False, True):
        network = trained(tiny_unet())
        if checkpointing:
            network.enable_gradient_checkpointing()
        down, middle = network(*inputs(), return_dict=False)
        sum(r.square().sum() for r in (*down, middle)).backward()
        grads.append(network.latent_in.weight.grad)
    assert torch.equal(*grads)


@torch.no_grad()
def test_the_embedded_host_runs_it_as_it_is() -> None:
    network = trained(tiny_unet())
    noisy, times, words, hints = inputs()
    halves = HintedNetwork(network)
    down, middle = halves(noisy, times, words, halves.encode_hint(hints), 0.5)
    wanted, wanted_middle = network(noisy, times, words, hints, conditioning_scale=0.5)[:2]
    for found, right in zip((*down, middle), (*wanted, wanted_middle), strict=True):
        torch.testing.assert_close(found, right)


def test_at_the_size_of_stable_diffusion_it_has_a_quarter_of_the_copys_weights() -> None:
    """The sum over the paper's blocks, by hand: 3 x 3 convolutions from c to d have 9cd + d."""
    from diffusers import ControlNetModel

    from controlstack.training.lite import LiteControlNet

    with torch.device("meta"):
        lite, copy = LiteControlNet(), ControlNetModel(cross_attention_dim=768)
    steps = [
        (4, 320), (320, 320), (320, 320), (320, 320),
        (320, 640), (640, 640), (640, 640),
        (640, 1280), (1280, 1280), (1280, 1280),
        (1280, 1280), (1280, 1280), (1280, 1280),
    ]  # fmt: skip
    own = sum(9 * c * d + d for c, d in steps)
    ends = sum(d * d + d for _, d in steps)
    hint = sum(p.numel() for p in lite.controlnet_cond_embedding.parameters())
    found = sum(p.numel() for p in lite.parameters())
    assert found == own + ends + hint
    assert 0.2 < found / sum(p.numel() for p in copy.parameters()) < 0.35


def test_it_refuses_hints_that_it_would_read_wrongly() -> None:
    from controlstack.training.lite import LiteControlNet

    with pytest.raises(ValueError, match="reads RGB"):
        LiteControlNet(controlnet_conditioning_channel_order="bgr")
