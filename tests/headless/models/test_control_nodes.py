"""The core's ControlNet nodes: what they hang on a conditioning, and what they leave alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.core_nodes.controlnet import apply, apply_advanced, set_union_type
from controlstack.headless.models.control_net import ControlNet
from tests.tiny import tiny_conditioning, tiny_controlnet, tiny_unet

IMAGE = torch.rand(1, 16, 24, 3)


@pytest.fixture(scope="module")
def net() -> ControlNet:
    return ControlNet(tiny_controlnet(tiny_unet()), "canny")


def options(conditioning: list[list[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = conditioning[0][1]
    return found


def test_both_sides_share_one_net_with_the_hint_as_channels_first(net: ControlNet) -> None:
    before = tiny_conditioning(), tiny_conditioning(4)
    after = apply_advanced(*before, net, IMAGE, 0.7, 0.1, 0.9)
    control = options(after[0])["control"]
    assert control is options(after[1])["control"]
    assert options(after[0])["control_apply_to_uncond"] is False
    assert torch.equal(control.hint, IMAGE.movedim(-1, 1))
    assert (control.strength, control.timestep_percent_range) == (0.7, (0.1, 0.9))
    assert control.previous_controlnet is None
    assert all("control" not in options(given) for given in before)
    assert net.hint is None


def test_nets_are_chained_after_those_that_are_there(net: ControlNet) -> None:
    first = apply_advanced(tiny_conditioning(), tiny_conditioning(), net, IMAGE, 1.0, 0.0, 1.0)
    both = apply_advanced(*first, net, IMAGE, 1.0, 0.0, 1.0)
    last = options(both[0])["control"]
    assert last is options(both[1])["control"]
    assert last.previous_controlnet is options(first[0])["control"]
    old = apply(first[0], net, IMAGE, 0.5)
    assert options(old)["control"].previous_controlnet is options(first[0])["control"]
    assert options(old)["control_apply_to_uncond"] is True


def test_strength_zero_changes_nothing(net: ControlNet) -> None:
    given = tiny_conditioning()
    assert apply(given, net, IMAGE, 0.0) is given
    both = apply_advanced(given, given, net, IMAGE, 0.0, 0.0, 1.0)
    assert both[0] is given
    assert both[1] is given


def test_a_union_type_needs_a_union_net(net: ControlNet) -> None:
    auto = set_union_type(net, "auto")
    assert auto is not net
    with pytest.raises(UserError, match="canny is no union ControlNet"):
        set_union_type(net, "depth")
