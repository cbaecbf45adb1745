"""Pictures to tensors and back: padding repeats the edge and moves nothing, bytes round down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.learned.tensors import batch, levels, padded

CPU = torch.device("cpu")


def test_padding_repeats_the_last_row_and_column() -> None:
    values = torch.arange(6.0).reshape(1, 1, 2, 3)
    wanted = [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    assert padded(values, 4)[0, 0].tolist() == wanted


@settings(max_examples=30)
@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 4, 16, 32]), st.sampled_from([1, 8])
)
def test_padding_makes_sides_that_divide_and_moves_nothing(
    height: int, width: int, multiple: int, least: int
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    taken = batch(picture, CPU, multiple, least)
    for side, before in zip(taken.shape[2:], (height, width), strict=True):
        assert side % multiple == 0
        assert max(before, least) <= side < max(before, least) + multiple
    assert taken.dtype == torch.float32
    assert np.array_equal(taken[0, :, :height, :width].permute(1, 2, 0).numpy(), picture)


def test_a_picture_that_may_not_be_written_to_is_taken_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture.flags.writeable = False
    batch(picture, CPU, 1)
    assert not recwarn.list


def test_levels_fall_to_the_byte_below_and_stay_in_range() -> None:
    values = torch.tensor([[0.0, 0.999 / 255, 0.5, 1.0], [-1.0, 2.0, 254.9 / 255, 9.0]])
    found = levels(values, (2, 3), "X")
    assert found.tolist() == [[0, 0, 127], [0, 255, 254]]
    assert found.dtype == np.uint8


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_said(bad: float) -> None:
    with pytest.raises(UserError, match="X's network gave no finite numbers"):
        levels(torch.tensor([[0.5, bad]]), (1, 2), "X")
    assert levels(torch.tensor([[0.5, bad]]), (1, 1), "X").tolist() == [[127]]  # cut before
