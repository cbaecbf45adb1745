"""Which row gets what, by number: windows, batches, sides and masks, on a host of numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch import source
from controlstack.model_patch.control import Control
from tests.model_patch.recording import Numbers, added, numbered, numbers_of, running

EIGHT = tuple(float(k) for k in range(8))


def window(*indices: int) -> Any:
    return SimpleNamespace(index_list=list(indices), dim=0)


@pytest.mark.parametrize("indices", [(0, 1, 2, 3), (4, 5, 6, 7), (6, 7, 0, 1), (3, 2, 1, 0)])
@pytest.mark.parametrize("sides", [[0], [1, 0], [0, 1]])
def test_in_a_window_frame_k_gets_hint_k_on_every_side(
    indices: tuple[int, ...], sides: list[int]
) -> None:
    made = added(
        (numbered(*EIGHT),),
        4 * len(sides),
        context_window=window(*indices),
        cond_or_uncond=sides,
    )
    assert numbers_of(made) == [float(k) for k in indices] * len(sides)


PICTURE = 3 * 64 * 64 * 4
"""Bytes of a frame's hint."""


@pytest.mark.parametrize(("kept", "copies"), [(source.KEPT_BYTES, 16), (20 * PICTURE, 6), (0, 1)])
def test_windows_of_one_run_do_not_mix_their_hints(
    kept: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nets keep the hints of windows from call to call, as many as there is room for: sixteen
    windows of three frames, twice over. Those that were ready stay so."""
    windows = [[(start + i * step) % 8 for i in range(3)] for step in (1, 2) for start in range(8)]
    monkeypatch.setattr(source, "KEPT_BYTES", kept)
    net = Numbers()
    with running((numbered(*EIGHT, net=net),)) as call:
        for frames in windows * 2:
            made = call(3, context_window=window(*frames), cond_or_uncond=[0])
            assert numbers_of(made) == [float(frame) for frame in frames]
            assert sum(copy.ready for copy in net.copies) <= copies
    stay = copies if copies == len(windows) else copies - 1
    assert len(net.copies) == 2 * len(windows) - stay


@pytest.mark.parametrize("hints_", [(0.0, 1.0, 2.0), (0.0, 1.0), EIGHT])
def test_calls_of_unlike_length_take_the_right_hints(hints_: tuple[float, ...]) -> None:
    """A window with a frame before it has one row more, a call of both prompts twice as many."""
    with running((numbered(*hints_),)) as call:
        for frames, sides in [([0, 1, 2, 3], [1, 0]), ([3, 4, 5, 6, 7], [1, 0]), ([3, 4], [0])] * 2:
            made = call(
                len(frames) * len(sides), context_window=window(*frames), cond_or_uncond=sides
            )
            expected = [hints_[frame % len(hints_)] for frame in frames]
            assert numbers_of(made) == expected * len(sides)
        if len(hints_) < 4:  # more than rows: as in the core, which mixes them
            for sides in ([1, 0], [0], [1], [0, 1]):
                made = call(2 * len(sides), cond_or_uncond=sides)
                assert numbers_of(made) == [0.0, 1.0] * len(sides)


def test_windows_along_the_height_of_pictures_are_refused() -> None:
    cut = SimpleNamespace(index_list=[0, 1], dim=2)
    with pytest.raises(UserError, match="dim 0"):
        added((numbered(1.0),), 1, context_window=cut)


def test_a_single_mask_serves_all_pictures_by_every_rule() -> None:
    mask = torch.ones(1, 64, 64)
    made = added((numbered(1.0, 2.0, frames="strict", mask=mask),), 2)
    assert numbers_of(made) == [1.0, 2.0]


def test_in_a_window_frame_k_gets_mask_k() -> None:
    masks = torch.zeros(8, 64, 64)
    masks[5] = 1.0
    made = added(
        (numbered(1.0, mask=masks),),
        8,
        context_window=window(4, 5, 6, 7),
        cond_or_uncond=[1, 0],
    )
    assert numbers_of(made) == [0.0, 1.0, 0.0, 0.0] * 2


def test_outside_of_windows_a_batch_repeats_as_in_the_core() -> None:
    made = added((numbered(1.0, 2.0),), 6, cond_or_uncond=[1, 0])
    assert numbers_of(made) == [1.0, 2.0, 1.0] * 2


@pytest.mark.parametrize(
    ("frames", "expected"),
    [("repeat", [1, 2, 3, 4]), ("hold", [1, 2] * 2), ("loop", [1, 2] * 2), ("strict", [1, 2] * 2)],
)
def test_twice_as_many_hints_as_pictures(frames: Any, expected: list[float]) -> None:
    """By "repeat" the host lays them on all rows, as in the core, where the second prompt's rows
    get the later hints. By every other rule further hints are not used."""
    made = added((numbered(1.0, 2.0, 3.0, 4.0, frames=frames),), 4, cond_or_uncond=[1, 0])
    assert numbers_of(made) == expected


@pytest.mark.parametrize(
    ("sides", "expected"), [([1, 0], [0, 0, 1, 2]), ([0, 1], [1, 2, 0, 0]), ([2, 0], [0, 0, 1, 2])]
)
def test_one_sided_control_runs_the_net_for_that_side_alone(
    sides: list[int], expected: list[int]
) -> None:
    net = Numbers(tokens=16)  # a transformer's blocks have one resolution: the paper's weight is 1
    made = added((numbered(1.0, 2.0, net=net, mode="cfg_rw"),), 4, cond_or_uncond=sides)
    assert numbers_of(made) == expected
    assert net.runs == [2]


def test_on_the_other_side_alone_the_net_is_not_run() -> None:
    net = Numbers()
    assert added((numbered(1.0, net=net, mode="cfg_rw"),), 2, cond_or_uncond=[1]) == {}
    assert net.runs == []


def test_one_sided_control_in_a_window_keeps_hint_and_mask_of_each_frame() -> None:
    masks = torch.zeros(8, 64, 64)
    masks[5:] = 1.0
    net = Numbers(tokens=16)
    item = numbered(*EIGHT, net=net, mode="cfg_rw", mask=masks)
    made = added((item,), 8, context_window=window(4, 5, 6, 7), cond_or_uncond=[1, 0])
    assert numbers_of(made) == [0.0] * 5 + [5.0, 6.0, 7.0]
    assert net.runs == [4]


def test_controls_add_up_each_with_its_strength_and_range() -> None:
    stack = (
        numbered(1.0, strength=0.5),
        numbered(10.0, strength=2.0),
        numbered(100.0, strength=0.0),
    )
    assert numbers_of(added(stack, 1)) == [20.5]


LEFT = torch.zeros(1, 64, 64)
LEFT[..., :32] = 1.0


def test_a_mask_lies_on_the_token_grid() -> None:
    """A latent of 8 x 8 in patches of 2: 16 tokens, four a row."""
    made = added((numbered(3.0, net=Numbers(tokens=16), mask=LEFT),), 2, cond_or_uncond=[1, 0])
    tokens = made["output"][0]
    assert tokens.shape == (2, 16, 4)
    grid = tokens.view(2, 4, 4, 4)
    assert torch.equal(grid[:, :, :2], torch.full((2, 4, 2, 4), 3.0))
    assert not grid[:, :, 2:].any()


@pytest.mark.parametrize(("size", "tokens"), [((7, 5), 12), ((8, 8), 64), ((8, 4), 2)])
def test_the_grid_is_told_from_the_number_of_tokens(size: tuple[int, int], tokens: int) -> None:
    """Patches of 2 on edges that they do not divide, of 1, and of 4."""
    item = numbered(3.0, net=Numbers(tokens=tokens), mask=torch.ones(1, 64, 64))
    made = added((item,), 1, latent=torch.zeros(1, 4, *size))
    assert numbers_of(made) == [3.0]


def test_frames_of_a_film_take_their_masks() -> None:
    """Three latent frames of 4 x 4 in patches of 2, and a mask for each."""
    masks = torch.stack([torch.ones(64, 64), torch.zeros(64, 64), torch.ones(64, 64) / 2])
    item = numbered(4.0, net=Numbers(tokens=12), mask=masks)
    film = torch.zeros(1, 4, 3, 4, 4)
    tokens = added((item,), 1, latent=film)["output"][0].view(3, 4, 4)
    assert tokens[:, 0, 0].tolist() == [4.0, 0.0, 2.0]
    part = torch.zeros(1, 4, 2, 4, 4)
    there = SimpleNamespace(index_list=[1, 2], dim=2)
    item = numbered(4.0, net=Numbers(tokens=8), mask=masks)
    tokens = added((item,), 1, latent=part, context_window=there)["output"][0].view(2, 4, 4)
    assert tokens[:, 0, 0].tolist() == [0.0, 2.0]


def test_pictures_of_a_batch_with_a_frame_each_take_a_mask_each() -> None:
    """Qwen-Image's latents have one frame: the batch is what masks are for."""
    masks = torch.stack([torch.ones(64, 64), torch.zeros(64, 64)])
    item = numbered(4.0, net=Numbers(tokens=4), mask=masks)
    made = added((item,), 4, latent=torch.zeros(4, 16, 1, 4, 4), cond_or_uncond=[0, 1])
    assert numbers_of(made) == [4.0, 0.0] * 2


def test_tokens_that_no_patch_makes_are_refused_with_their_number() -> None:
    item = numbered(3.0, net=Numbers(tokens=17), mask=LEFT, name="flux")
    with pytest.raises(UserError, match=r"flux: .* 17 tokens.* 8 x 8"):
        added((item,), 1)


def test_hints_of_one_channel_and_with_alpha_are_pictures() -> None:
    grey, alpha = torch.full((1, 1, 8, 8), 2.0), torch.full((1, 4, 8, 8), 9.0)
    alpha[:, :3] = 3.0
    for hint, number in ((grey, 2.0), (alpha, 3.0)):
        net: Any = Numbers()
        assert numbers_of(added((Control(net=net, hint=hint),), 1)) == [number]
