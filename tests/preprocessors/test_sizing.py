"""The size of a hint, and where the picture's points come to lie in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.sizing import (
    AUTO_RESOLUTION,
    FITS,
    Placement,
    cut,
    looked_at,
    paste,
    place,
    resized,
)

SIDES = st.integers(1, 2048)


def test_fill_cuts_the_middle_out() -> None:
    assert place((200, 100), (512, 512), "fill") == Placement(
        crop=(50, 0, 150, 100), inner=(0, 0, 512, 512), size=(512, 512)
    )


def test_fit_leaves_bars_above_and_below() -> None:
    assert place((200, 100), (512, 512), "fit") == Placement(
        crop=(0, 0, 200, 100), inner=(0, 128, 512, 384), size=(512, 512)
    )


def test_stretch_takes_all_to_all() -> None:
    assert place((200, 100), (512, 512), "stretch") == Placement(
        crop=(0, 0, 200, 100), inner=(0, 0, 512, 512), size=(512, 512)
    )


@pytest.mark.parametrize("fit", FITS)
def test_the_same_shape_is_only_scaled(fit: str) -> None:
    assert place((300, 200), (768, 512), fit) == Placement(
        crop=(0, 0, 300, 200), inner=(0, 0, 768, 512), size=(768, 512)
    )


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(FITS))
def test_a_placement_is_in_the_middle_and_bends_by_less_than_a_pixel(
    width: int, height: int, wide: int, high: int, fit: str
) -> None:
    placed = place((width, height), (wide, high), fit)
    for box, (across, down) in ((placed.crop, (width, height)), (placed.inner, (wide, high))):
        left, top, right, bottom = box
        assert 0 <= left < right <= across
        assert 0 <= top < bottom <= down
        assert (left, top) == (across - right, down - bottom)
    if fit == "stretch":
        return
    # The true middle part would have the other's shape exactly; an equal cut on both sides misses
    # it by one pixel, or leaves one or two where nothing would be left.
    crop, inner = placed.crop, placed.inner
    if fit == "fill":
        scale = max(wide / width, high / height)
        parts = [(crop[2] - crop[0], wide / scale), (crop[3] - crop[1], high / scale)]
    else:
        scale = min(wide / width, high / height)
        parts = [(inner[2] - inner[0], width * scale), (inner[3] - inner[1], height * scale)]
    for part, true in parts:
        assert abs(part - true) < 1.001 or part <= 2


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (16385, 1), (16384, 16384)])
def test_a_hint_of_no_size_or_an_enormous_one_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=rf"{size[0]} x {size[1]}"):
        place((10, 10), size, "fill")


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(40, 60), (201, 90), (64, 64), (300, 500)])
def test_a_dot_lies_where_the_placement_says(fit: str, size: tuple[int, int]) -> None:
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[36:44, 56:64] = 255  # its middle is at (60, 40), the picture's own
    placed = place((120, 80), size, fit)
    hint = paste(cut(picture, placed), placed, 0)
    assert hint.shape == (size[1], size[0], 3)
    ys, xs = np.nonzero(hint[..., 0] > 127)
    assert abs((xs.min() + xs.max() + 1) / 2 - size[0] / 2) <= 1
    assert abs((ys.min() + ys.max() + 1) / 2 - size[1] / 2) <= 1


def test_bars_hold_the_background() -> None:
    picture = np.ones((10, 20, 3), np.float32)
    placed = place((20, 10), (20, 20), "fit")
    hint = paste(cut(picture, placed), placed, -1.0)
    assert (hint[:5] == -1).all()
    assert (hint[5:15] == 1).all()
    assert (hint[15:] == -1).all()


def test_drawn_hints_keep_their_colours_and_others_stay_in_range() -> None:
    colours = np.array([[0, 0, 0], [255, 85, 0], [140, 140, 140]], np.uint8)
    drawn = colours[np.random.default_rng(0).integers(0, 3, (37, 53))]
    for size in ((11, 200), (106, 74), (20, 20)):
        found = np.unique(resized(drawn, size, drawn=True).reshape(-1, 3), axis=0)
        assert {tuple(c) for c in found} <= {tuple(c) for c in colours}
        smooth = resized(drawn.astype(np.float32) / 255, size)
        assert smooth.shape == (size[1], size[0], 3)
        assert smooth.min() >= 0
        assert smooth.max() <= 1


def test_a_network_looks_at_the_shorter_side_asked_for() -> None:
    assert looked_at((1000, 500), 512) == (1024, 512)
    assert looked_at((500, 1000), 512) == (512, 1024)


def test_without_a_resolution_a_network_looks_at_the_hints_own_size_up_to_1024() -> None:
    assert looked_at((768, 512), 0) == (768, 512)
    assert AUTO_RESOLUTION == 1024
    assert looked_at((4000, 3000), 0) == (1365, 1024)


def test_a_resolution_that_would_be_enormous_is_refused() -> None:
    with pytest.raises(UserError, match="16384"):
        looked_at((16000, 10), 2048)
