"""Hints and masks on conditioning that is set to areas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from tests.model_patch.stacks import (
    POSITIVE,
    UNET,
    by_core,
    control,
    core_chain,
    hint,
    net,
    sample,
)
from tests.tiny import tiny_model

# Height, width, top and left in latent pixels of a latent of 8 x 16.
LEFT, RIGHT, WIDE = (8, 8, 0, 0), (8, 8, 0, 8), (4, 16, 2, 0)


def in_area(conditioning: list[Any], area: tuple[int, ...] | None, **options: Any) -> list[Any]:
    return [
        [text, {**d, **options, **({"area": area} if area else {})}] for text, d in conditioning
    ]


def piece(area: tuple[int, int, int, int]) -> Tensor:
    height, width, top, left = (8 * side for side in area)
    return hint_of_picture()[..., top : top + height, left : left + width]


def hint_of_picture() -> Tensor:
    return torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "areas", [(LEFT,), (WIDE,), (LEFT, RIGHT)], ids=["left", "wide", "left-and-right"]
)
def test_a_cropped_hint_is_what_the_core_gives_for_each_piece(areas: Any) -> None:
    """The core's way to the same: its own control on each area, with the hint's piece."""
    kwargs: dict[str, Any] = {"size": (8, 16)}
    piecewise = []
    for area in areas:
        one = (Control(net=net(), hint=piece(area), strength=0.8),)
        piecewise += in_area(core_chain(POSITIVE, one), area)
    by_pieces = sample(tiny_model(UNET), positive=piecewise, cfg=1.0, **kwargs)
    item = Control(net=net(), hint=hint_of_picture(), strength=0.8, area_hint="crop")
    texts = [entry for area in areas for entry in in_area(POSITIVE, area)]
    ours = sample(patch(tiny_model(UNET), (item,)), positive=texts, cfg=1.0, **kwargs)
    # Ours samples both areas in one batch, the core's unlike controls in two: rounding differs.
    torch.testing.assert_close(ours, by_pieces, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["balanced", "cfg_rw"])
def test_the_whole_hint_in_every_area_is_the_default(mode: Any) -> None:
    texts = [*in_area(POSITIVE, LEFT), *in_area(POSITIVE, RIGHT)]

    def picture(area_hint: Any = "whole") -> Tensor:
        item = Control(net=net(), hint=hint_of_picture(), mode=mode, area_hint=area_hint)
        return sample(patch(tiny_model(UNET), (item,)), positive=texts, size=(8, 16))

    item = Control(net=net(), hint=hint_of_picture(), mode=mode)
    default = sample(patch(tiny_model(UNET), (item,)), positive=texts, size=(8, 16))
    assert torch.equal(picture(), default)
    assert not torch.equal(picture("crop"), default)


def test_a_cropped_mask_lies_where_it_was_drawn() -> None:
    """The mask is white on the left half of the picture: the area there is untouched by it."""
    left = torch.zeros(1, 64, 128)
    left[..., :64] = 1.0

    def picture(area: Any, mask: Tensor | None) -> Tensor:
        item = Control(net=net(), hint=hint_of_picture(), mask=mask, area_hint="crop")
        patched = patch(tiny_model(UNET), (item,))
        return sample(patched, positive=in_area(POSITIVE, area), size=(8, 16), cfg=1.0)

    assert torch.equal(picture(LEFT, left), picture(LEFT, None))
    assert torch.equal(picture(RIGHT, left), picture(RIGHT, torch.zeros(1, 64, 128)))


def test_cropping_changes_nothing_where_there_is_no_area() -> None:
    stack = (control(),)
    cropping = (Control(net=net(), hint=hint(1), area_hint="crop"),)
    ours = sample(patch(tiny_model(UNET), cropping))
    assert torch.equal(ours, by_core(stack))
