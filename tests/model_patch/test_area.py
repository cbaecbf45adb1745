"""A hint cut to areas: where each pixel lands."""

from __future__ import annotations

import torch
from torch import Tensor

from controlstack.model_patch.area import cut_to_areas

LATENT = (4, 8)  # 32 x 64 picture pixels


def numbered(batch: int = 1, height: int = 32, width: int = 64) -> Tensor:
    """A hint whose every value says where it lies."""
    return torch.arange(batch * 3 * height * width, dtype=torch.float).view(batch, 3, height, width)


def test_an_area_sees_its_own_part() -> None:
    cut = cut_to_areas(numbered(), [(2, 3, 1, 4)], LATENT, rows=1)
    assert torch.equal(cut, numbered()[..., 8:24, 32:56])


def test_equal_areas_share_one_hint_and_keep_its_batch() -> None:
    cut = cut_to_areas(numbered(2), [(2, 2, 0, 0)] * 2, LATENT, rows=2)
    assert torch.equal(cut, numbered(2)[..., :16, :16])


def test_unlike_areas_follow_one_another_row_by_row() -> None:
    cut = cut_to_areas(numbered(2), [(2, 2, 0, 0), (2, 2, 2, 6)], LATENT, rows=3)
    first, second = numbered(2)[..., :16, :16], numbered(2)[..., 16:, 48:]
    order = [0, 1, 0]
    assert torch.equal(cut, torch.cat([first[order], second[order]]))


def test_no_area_is_the_whole_picture() -> None:
    assert torch.equal(cut_to_areas(numbered(), [None], LATENT, rows=1), numbered())


def test_a_hint_of_another_size_is_resized_first() -> None:
    small = numbered(height=8, width=16)
    cut = cut_to_areas(small, [(2, 2, 0, 6)], LATENT, rows=1)
    assert torch.equal(cut, small[..., :4, 12:].repeat_interleave(4, -1).repeat_interleave(4, -2))


def test_another_aspect_ratio_is_cropped_about_the_centre() -> None:
    tall = numbered(height=64, width=64)
    assert torch.equal(cut_to_areas(tall, [None], LATENT, rows=1), tall[..., 16:48, :])
