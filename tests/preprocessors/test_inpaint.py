"""Inpaint: -1 where the mask is, everything else bit for bit."""

import numpy as np
import pytest

from controlstack.ground.errors import UserError
from controlstack.preprocessors.inpaint import INPAINT, INPAINT_BLACK, inpaint

PICTURE = np.random.default_rng(0).random((3, 4, 3), np.float32)


def test_what_is_masked_is_minus_one_and_the_rest_is_untouched() -> None:
    mask = np.zeros((3, 4), np.float32)
    mask[0, 1] = 1
    mask[2, 3] = 0.5000001
    mask[1, 1] = 0.5  # not over it
    before = PICTURE.copy()
    hint = inpaint(PICTURE, mask)
    assert hint.dtype == np.float32
    masked = mask > 0.5
    assert masked.sum() == 2
    assert (hint[masked] == -1.0).all()
    assert np.array_equal(hint[~masked], PICTURE[~masked])
    assert np.array_equal(PICTURE, before)


def test_the_black_form_has_zero_there() -> None:
    assert INPAINT_BLACK.run is not None
    hint = INPAINT_BLACK.run(PICTURE, np.ones((3, 4), np.float32))
    assert hint.dtype == np.float32
    assert not hint.any()


def test_bars_around_the_picture_are_masked_too() -> None:
    """What lies outside of the picture is not known: the net paints it, as it does a mask."""
    assert INPAINT.background == -1
    assert INPAINT_BLACK.background == 0


def test_a_mask_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(UserError, match=r"4 x 3 for a picture of 3 x 4 x 3"):
        inpaint(PICTURE, np.zeros((4, 3), np.float32))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((3, 4, 3), np.uint8),
        np.zeros((3, 4), np.float32),
        np.zeros((3, 4, 4), np.float32),
        np.zeros((0, 4, 3), np.float32),
    ],
)
def test_another_kind_of_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(UserError, match="height x width x 3"):
        inpaint(picture, np.zeros(picture.shape[:2], np.float32))
