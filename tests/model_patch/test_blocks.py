"""Weights of blocks: names, published rules, and what is refused."""

from __future__ import annotations

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.blocks import (
    Blocks,
    LogSpace,
    RelativeResolution,
    Resolution,
    SoftWeights,
)
from controlstack.model_patch.factors import Factor, Sides
from controlstack.model_patch.patch import patch
from controlstack.model_patch.residuals import Place, Residuals
from tests.model_patch.recording import added, numbered
from tests.model_patch.stacks import UNET, control, net
from tests.tiny import tiny_model


def maps(*heights: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.ones(1, 1, height, height) for height in heights)


def control_net(scale: int = 1) -> list[Place]:
    """An SD 1.5 ControlNet's residuals: twelve skips and the middle."""
    heights = [height * scale for height in (*[64] * 3, *[32] * 3, *[16] * 3, *[8] * 3)]
    return Residuals(output=maps(*heights), middle=maps(8 * scale)).places()


def weights(factor: Factor, places: list[Place]) -> list[float]:
    return [factor.of_block(place) for place in places]


def test_depth_goes_from_the_first_block_to_the_middle() -> None:
    assert [place.name for place in control_net()][:2] == ["output 0", "output 1"]
    assert [place.name for place in control_net()][-1] == "middle"
    adapter = Residuals(
        input=(None, *maps(4), None, *maps(8))
    ).places()  # hosts take the last first
    assert [(place.name, place.depth, place.residuals) for place in adapter] == [
        ("input 3", 0, 2),
        ("input 1", 1, 2),
    ]
    flux = Residuals(input=(torch.ones(1, 4, 2),) * 2, output=(torch.ones(1, 4, 2),) * 3)
    assert [p.name for p in flux.places()] == [
        *("input 0", "input 1"),
        *("output 0", "output 1", "output 2"),
    ]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("all", range(13)),
        ("output", range(12)),
        ("middle", [12]),
        ("output 3", [3]),
        ("output 2-4", [2, 3, 4]),
        ("first half", range(7)),
        ("second half", range(6, 13)),
        ("first third", range(4)),
        ("middle third", range(4, 9)),
        ("last third", range(9, 13)),
    ],
)
def test_names_choose_blocks(name: str, chosen: list[int] | range) -> None:
    found = weights(Blocks(((name, 0.25),)), control_net())
    assert [i for i, weight in enumerate(found) if weight == 0.25] == list(chosen)
    assert {weight for i, weight in enumerate(found) if i not in chosen} <= {1.0}


def test_the_last_name_of_a_block_counts() -> None:
    found = weights(Blocks((("all", 0.0), ("output 0-1", 2.0), ("output 1", 0.5))), control_net())
    assert found == [2.0, 0.5, *[0.0] * 11]


@pytest.mark.parametrize("scale", [1, 2])
def test_relative_resolution_is_the_papers_at_512_px_and_the_same_at_every_size(scale: int) -> None:
    relative = weights(RelativeResolution(), control_net(scale))
    assert relative == weights(Resolution(), control_net())
    assert weights(Resolution(), control_net(2)) == [one / 2 for one in relative]


def test_rules_end_at_1_and_tokens_have_one_resolution() -> None:
    for rule in (SoftWeights(), LogSpace()):
        assert weights(rule, control_net())[-1] == 1.0
        assert weights(rule, control_net()) == sorted(weights(rule, control_net()))
    assert weights(LogSpace(), Residuals(middle=maps(4)).places()) == [1.0]
    tokens = Residuals(input=(torch.ones(1, 16, 2),) * 2).places()
    assert weights(RelativeResolution(), tokens) == weights(Resolution(), tokens) == [1.0, 1.0]


def test_blocks_reach_the_model() -> None:
    item = numbered(8.0, also=(Blocks((("middle", 0.5), ("output 0", 0.25))), Sides(1.0, 0.5)))
    made = added((item,), 2, cond_or_uncond=[0, 1])
    assert made["middle"][0].flatten(1)[:, 0].tolist() == [4.0, 2.0]
    assert [one.flatten(1)[:, 0].tolist() for one in made["output"]] == [[2.0, 1.0], [8.0, 4.0]]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ((("decoder", 1.0),), "'decoder' is no name of a block; write refiner, input, middle"),
        ((("output 3 4", 1.0),), "no name of a block"),
        ((("all", 11.0),), "weight of all is 11; it must be between 0 and 10"),
        ((("all", float("nan")),), "weight of all is nan"),
    ],
)
def test_bad_weights_are_refused(pairs: tuple[tuple[str, float], ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Blocks(pairs)


def test_a_block_that_the_net_lacks_is_refused_with_those_it_has() -> None:
    item = numbered(1.0, name="depth", also=(Blocks((("output 7", 0.5),)),))
    with pytest.raises(UserError, match="depth: this net has no block output 7; it has output 0, "):
        added((item,), 1)


def test_it_is_said_before_sampling_where_the_net_tells_its_blocks() -> None:
    def applied(name: str) -> None:
        patch(tiny_model(UNET), (control(also=(Blocks(((name, 0.5),)),)),))

    skips = len(net().control_model.controlnet_down_blocks)
    applied(f"output {skips - 1}")
    with pytest.raises(
        UserError, match=f"net 1: this net has no block output {skips}; it has .*mid"
    ):
        applied(f"output {skips}")
    with pytest.raises(UserError, match="no block input"):
        applied("input")
