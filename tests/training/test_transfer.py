"""control + new base - old base, for the weights that a copy shares with its base and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from controlstack.ground.errors import UserError
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from, weights_hash
from controlstack.training.transfer import transferred
from tests.tiny import tiny_unet
from tests.training.unets import sd2_unet, sd15_unet

NET = NetSettings(hint_channels="4,4,8,8")


def trained(unet: Any, kind: str = "controlnet") -> Any:
    """A ControlNet of `unet` after some training: every weight has moved."""
    network = control_net_from(unet, NetSettings(kind, NET.hint_channels))
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network


@pytest.mark.parametrize("make", [tiny_unet, sd2_unet])
def test_shared_weights_get_the_difference_of_the_bases_and_new_ones_stay(make: Any) -> None:
    old, new = make(seed=0), make(seed=1)
    network = trained(old)
    before = weights_hash(network)
    moved = transferred(network, old, new).state_dict()
    bases = [unet.state_dict() for unet in (old, new)]
    shared = 0
    for name, weight in network.state_dict().items():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond")):
            assert torch.equal(moved[name], weight)
        else:
            shared += 1
            wanted = weight + bases[1][name] - bases[0][name]
            torch.testing.assert_close(moved[name], wanted, rtol=0, atol=1e-6)
    assert shared == len([n for n in bases[0] if n.startswith(("conv_in", "time", "down", "mid"))])
    assert weights_hash(network) == before, "the network given was changed"


def test_an_untrained_copy_becomes_the_new_bases_untrained_copy() -> None:
    old, new = sd15_unet(seed=0), sd15_unet(seed=1)
    found = transferred(control_net_from(old, NET), old, new).state_dict()
    for name, weight in control_net_from(new, NET).state_dict().items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6)


def test_there_and_to_the_same_base_is_the_same_in_every_bit() -> None:
    unet = sd15_unet()
    network = trained(unet)
    assert weights_hash(transferred(network, unet, sd15_unet())) == weights_hash(network)


def test_halves_are_added_in_full_precision() -> None:
    old, new = sd15_unet(seed=0).half(), sd15_unet(seed=1).half()
    network = trained(sd15_unet())
    found = transferred(network, old, new)
    wanted = network.conv_in.weight + (new.conv_in.weight.float() - old.conv_in.weight.float())
    assert found.conv_in.weight.dtype == torch.float32
    assert torch.equal(found.conv_in.weight, wanted)


def test_a_base_for_inpainting_gives_the_channels_of_its_latent() -> None:
    old, new = tiny_unet(), tiny_unet(in_channels=9, seed=1)
    network = trained(old)
    found = transferred(network, old, new).conv_in.weight
    wanted = network.conv_in.weight + new.conv_in.weight[:, :4] - old.conv_in.weight
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_what_does_not_fit_is_named() -> None:
    unet, other = tiny_unet(), sd2_unet()
    with pytest.raises(
        UserError,
        match=r"The ControlNet does not fit the new base: its block_out_channels is 8, 16, 16, 16, "
        r"and the new base has 8, 16, 32, 32\.",
    ):
        transferred(trained(unet), unet, other)
    with pytest.raises(UserError, match="does not fit the old base"):
        transferred(trained(unet), other, unet)
    with pytest.raises(UserError, match="The new base is not a U-Net but a Linear"):
        transferred(trained(unet), unet, nn.Linear(2, 2))
    with pytest.raises(UserError, match="The ControlNet is a Linear"):
        transferred(nn.Linear(2, 2), unet, unet)


def test_a_lite_network_has_nothing_to_transfer() -> None:
    unet = sd15_unet()
    with pytest.raises(UserError, match="lite network copies nothing"):
        transferred(trained(unet, "lite"), unet, sd15_unet(seed=1))
