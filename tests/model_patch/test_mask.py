"""Masks as factors: part of the run, some blocks, edges; and tiles that cut them."""

from __future__ import annotations

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.conditioning import StackedControl
from controlstack.model_patch.factors import Span
from controlstack.model_patch.mask import MAX_EDGE, Mask, edged
from controlstack.model_patch.patch import patch
from tests.model_patch.recording import SIZE, added, numbered
from tests.model_patch.stacks import UNET, control, sample
from tests.tiny import tiny_model

LEFT = torch.zeros(1, SIZE, SIZE)
LEFT[..., : SIZE // 2] = 1.0


def halves(residual: torch.Tensor) -> tuple[float, float]:
    left, right = residual.chunk(2, dim=-1)
    return float(left.mean()), float(right.mean())


def test_a_mask_holds_between_its_percents_and_for_its_blocks() -> None:
    item = numbered(4.0, also=(Mask(LEFT, span=Span(0.0, 0.5), blocks=("output 0", "middle")),))
    early, late = (added((item,), 1, sigma=sigma) for sigma in (9.0, 2.0))
    assert halves(early["output"][0]) == halves(early["middle"][0]) == (4.0, 0.0)
    assert halves(early["output"][1]) == (4.0, 4.0)
    assert halves(late["output"][0]) == (4.0, 4.0)


def test_masks_multiply_with_the_controls_own_and_follow_its_frames() -> None:
    two = torch.stack([torch.full((SIZE, SIZE), 0.5), torch.zeros(SIZE, SIZE)])
    item = numbered(4.0, mask=LEFT, frames="hold", also=(Mask(two),))
    made = added((item,), 3)["output"][0]
    assert [halves(row) for row in made] == [(2.0, 0.0), (0.0, 0.0), (0.0, 0.0)]


def test_a_mask_split_in_two_and_summed_is_none() -> None:
    soft = torch.linspace(0, 1, 64).expand(1, 64, 64)
    whole = sample(patch(tiny_model(UNET), (control(),)))
    split = (control(also=(Mask(soft),)), control(also=(Mask(1 - soft),)))
    assert torch.allclose(sample(patch(tiny_model(UNET), split)), whole, atol=2e-3)
    assert not torch.allclose(sample(patch(tiny_model(UNET), split[:1])), whole, atol=1.0)


def test_a_full_mask_changes_no_bit_and_a_black_one_runs_no_net() -> None:
    full = Mask(torch.ones(1, 8, 8), span=Span(0.2, 0.8), blocks=("first half",))
    plain = sample(patch(tiny_model(UNET), (control(),)))
    assert torch.equal(sample(patch(tiny_model(UNET), (control(also=(full,)),))), plain)
    assert control(also=(Mask(torch.zeros(1, 8, 8)),)).silent
    assert not control(also=(Mask(torch.zeros(1, 8, 8), span=Span(0.0, 0.5)),)).silent


def test_tiles_cut_every_mask_along_with_the_hint() -> None:
    right = 1 - LEFT
    item = numbered(1.0, mask=LEFT, inpaint_mask=torch.ones(1, 64, 64), also=(Mask(right),))
    tile = StackedControl(item)
    assert tile.cond_hint_original.shape == (1, 6, 64, 64)
    tile.cond_hint_original = tile.cond_hint_original[..., :32]
    assert tile.control.mask is not None
    assert tile.control.mask.mean() > 0.9
    (cut,) = tile.control.also
    assert isinstance(cut, Mask)
    assert cut.masks.shape == (1, 64, 32)
    assert cut.masks.mean() < 0.1


def test_edges_grow_by_a_disc_shrink_and_fade() -> None:
    mask = torch.zeros(2, 65, 65)
    mask[0, 32, 32] = 1.0
    mask[1, 10:55, 10:55] = 1.0
    grown = edged(mask, 5, 0)
    assert grown[0, 32, 27] == 1.0
    assert grown[0, 32, 26] == 0.0
    assert grown[0, 27, 27] == 0.0, "a disc, not a square"
    shrunk = edged(mask, -5, 0)
    assert shrunk[1, 32, 15] == 1.0
    assert shrunk[1, 32, 14] == 0.0
    faded = edged(mask, 0, 8)[1, 32]
    assert faded[32] > 0.99
    assert 0.4 < faded[10] < 0.6
    assert bool((faded[:32].diff() >= 0).all())
    assert torch.equal(edged(mask, 0, 0), mask)
    white = torch.ones(1, 16, 16)
    assert torch.allclose(edged(white, -3, 6), white), "what lies outside goes on as the border"


@pytest.mark.parametrize(("grow", "feather"), [(MAX_EDGE + 1, 0), (0, MAX_EDGE + 1), (0, -1)])
def test_too_many_pixels_are_refused(grow: int, feather: int) -> None:
    with pytest.raises(UserError, match=f"pixels; it must be at most {MAX_EDGE}"):
        edged(torch.ones(1, 8, 8), grow, feather)


@pytest.mark.parametrize(
    ("masks", "words"),
    [(torch.ones(8, 8), r"shape \(8, 8\)"), (torch.full((1, 2, 2), torch.nan), "NaN")],
)
def test_bad_masks_are_refused(masks: torch.Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Mask(masks)
