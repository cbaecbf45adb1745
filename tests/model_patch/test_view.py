"""What rows see of hints and masks: which picture, and where each pixel of an area lands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.call import Area, Call
from controlstack.model_patch.view import FRAMES, Frames, View, middle

LATENT = (4, 8)  # 32 x 64 picture pixels


def numbered(batch: int = 1, height: int = 32, width: int = 64) -> Tensor:
    """A hint whose every value says where it lies."""
    return torch.arange(batch * 3 * height * width, dtype=torch.float).view(batch, 3, height, width)


def call(rows: int, areas: list[Area | None], **options: Any) -> Call:
    """`rows` pictures for each of the areas."""
    height, width = next((area[:2] for area in areas if area), LATENT)
    x = torch.zeros(rows * len(areas), 4, height, width)
    options["cond_or_uncond"] = [0] * len(areas)
    return Call.of(x, torch.ones(len(x)), {}, options, areas, LATENT)


def cut(pictures: Tensor, areas: list[Area | None], rows: int) -> tuple[Tensor, int]:
    seen = View(area_hint="crop")(call(rows, areas), len(pictures))
    return seen.of(pictures), seen.repeats


def test_an_area_sees_its_own_part() -> None:
    made, repeats = cut(numbered(), [(2, 3, 1, 4)], rows=1)
    assert torch.equal(made, numbered()[..., 8:24, 32:56])
    assert repeats == 1


def test_equal_areas_share_their_hints() -> None:
    made, repeats = cut(numbered(2), [(2, 2, 0, 0)] * 2, rows=2)
    assert torch.equal(made, numbered(2)[..., :16, :16])
    assert repeats == 2


def test_unlike_areas_follow_one_another_row_by_row() -> None:
    made, repeats = cut(numbered(2), [(2, 2, 0, 0), (2, 2, 2, 6)], rows=3)
    first, second = numbered(2)[..., :16, :16], numbered(2)[..., 16:, 48:]
    order = [0, 1, 0]
    assert torch.equal(made, torch.cat([first[order], second[order]]))
    assert repeats == 1


def test_without_an_area_a_hint_is_handed_on_as_it_is() -> None:
    hint = numbered()
    made, repeats = cut(hint, [None, None], rows=2)
    assert made is hint
    assert repeats == 2


def test_a_hint_of_another_size_is_resized_first() -> None:
    small = numbered(height=8, width=16)
    made, _ = cut(small, [(2, 2, 0, 6)], rows=1)
    assert torch.equal(made, small[..., :4, 12:].repeat_interleave(4, -1).repeat_interleave(4, -2))


def test_another_aspect_ratio_is_cropped_about_the_centre() -> None:
    tall = numbered(height=64, width=64)
    made, _ = cut(tall, [(4, 4, 0, 4)], rows=1)
    assert torch.equal(made, tall[..., 16:48, 32:])


def window(*indices: int, **kwargs: Any) -> Any:
    return SimpleNamespace(index_list=list(indices), dim=0, **kwargs)


@pytest.mark.parametrize(
    "options",
    [
        {"context_window": window(6, 7, 0)},
        {"context_window": window(7, 0, causal_anchor_index=6)},
        {"ad_params": {"sub_idxs": [6, 7, 0]}},
    ],
    ids=["ComfyUI", "with a frame before it", "AnimateDiff-Evolved"],
)
def test_a_window_sees_its_own_pictures(options: dict[str, Any]) -> None:
    seen = View()(call(3, [None, None], **options), 8)
    assert [number for number, _ in seen.rows] == [6, 7, 0]
    assert seen.repeats == 2
    assert torch.equal(seen.of(numbered(8)), numbered(8)[[6, 7, 0]])


@pytest.mark.parametrize(
    "options",
    [{"context_window": window(5, 6)}, {"ad_params": {"sub_idxs": None}}, {"ad_params": None}],
    ids=["of another run", "no window", "nothing"],
)
def test_what_is_no_window_of_this_call_changes_nothing(options: dict[str, Any]) -> None:
    hint = numbered(3)
    assert View()(call(3, [None], **options), 3).of(hint) is hint


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        ("repeat", [0, 1, 2, 0, 1, 2, 0, 1]),
        ("hold", [0, 1, 2, 2, 2, 2, 2, 2]),
        ("loop", [0, 1, 2, 1, 0, 1, 2, 1]),
    ],
)
def test_more_pictures_than_hints(frames: Frames, numbers: list[int]) -> None:
    seen = View(frames)(call(8, [None]), 3)
    assert [number for number, _ in seen.rows] == numbers
    tail = View(frames)(call(2, [None], context_window=window(6, 7)), 3)
    assert [number for number, _ in tail.rows] == numbers[6:]


@pytest.mark.parametrize("frames", FRAMES)
def test_enough_hints_are_taken_in_order_and_one_serves_all(frames: Any) -> None:
    hints, single = numbered(4), numbered(1)
    assert View(frames)(call(4, [None]), 4).of(hints) is hints
    if frames != "strict":
        assert View(frames)(call(4, [None]), 1).of(single) is single


def test_strict_says_which_picture_has_no_hint() -> None:
    with pytest.raises(UserError, match=r"picture 7 of this run .* there are 3"):
        View("strict")(call(2, [None], context_window=window(6, 7)), 3)


@pytest.mark.parametrize(
    ("size", "wanted", "columns"), [((721, 480), (768, 512), (1, 719)), ((10, 4), (2, 1), (1, 8))]
)
def test_the_middle_begins_where_comfyui_s_does(
    size: tuple[int, int], wanted: tuple[int, int], columns: tuple[int, int]
) -> None:
    """721 - 720 columns leave half a pixel a side: the core's order of operations makes it one."""
    width, height = size
    picture = torch.arange(float(width)).expand(1, 1, height, width)
    cut = middle(picture, wanted[0] / wanted[1])
    assert (cut[0, 0, 0, 0], cut[0, 0, 0, -1]) == columns
