"""M-LSD's lines from a map made by hand: where they lie, which are drawn, and how wide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.preprocessors.learned.mlsd import MLSD, mlsd

CPU = torch.device("cpu")


def _network(
    *lines: tuple[tuple[int, int], tuple[float, ...], float],
) -> Callable[[Tensor], Tensor]:
    """A network that sees these lines: the centre's x and y in the map, how far from there the two
    ends are (x, y, x, y), and the logit of the line's value. No line elsewhere."""

    def see(given: Tensor) -> Tensor:
        found = torch.zeros(1, 9, given.shape[2] // 2, given.shape[3] // 2)
        found[:, 0] = -9
        for (x, y), moves, value in lines:
            found[0, 0, y, x] = value
            found[0, 1:5, y, x] = torch.tensor(moves)
        return found

    return see


def _drawn(network: Callable[[Tensor], Tensor], **settings: float) -> np.ndarray:
    return mlsd(np.zeros((70, 90, 3), np.uint8), CPU, network, **settings)


LEVEL = ((20, 10), (-8.0, 0.0, 8.0, 0.0), 3.0)
"""In the picture from (24, 20) to (56, 20)."""


def test_a_line_is_one_pixel_wide_white_and_in_place() -> None:
    hint = _drawn(_network(LEVEL))
    wanted = np.zeros((70, 90, 3), np.uint8)
    wanted[20, 24:57] = 255
    assert np.array_equal(hint, wanted)


def test_a_slanting_line_ends_where_the_map_says() -> None:
    hint = _drawn(_network(((20, 10), (-8.0, -4.0, 8.0, 4.0), 3.0)))
    rows, columns = np.nonzero(hint[:, :, 0])
    assert (columns.min(), rows.min()) == (24, 12)
    assert (columns.max(), rows.max()) == (56, 28)
    assert len(rows) == 33  # one pixel for each column


def test_no_line_is_a_black_hint() -> None:
    assert not _drawn(_network()).any()


def test_doubtful_and_short_lines_are_left_out() -> None:
    doubtful = ((30, 25), (-8.0, 0.0, 8.0, 0.0), -1.0)  # 0.27
    short = ((30, 30), (-1.0, 0.0, 1.0, 0.0), 3.0)
    network = _network(LEVEL, doubtful, short)
    assert _rows(_drawn(network)) == {20, 50, 60}
    assert _rows(_drawn(network, value_threshold=0.5)) == {20, 60}
    assert _rows(_drawn(network, distance_threshold=2.5)) == {20, 50}


def _rows(hint: np.ndarray) -> set[int]:
    return set(np.nonzero(hint.any(axis=(1, 2)))[0].tolist())


def test_of_centres_side_by_side_the_surest_is_a_line() -> None:
    beside = ((21, 10), (-8.0, 9.0, 8.0, 9.0), 2.0)
    assert _rows(_drawn(_network(LEVEL, beside))) == {20}


def test_a_line_may_leave_the_picture() -> None:
    hint = _drawn(_network(((3, 10), (-50.0, 0.0, 4.0, 0.0), 3.0)))
    assert np.nonzero(hint[20, :, 0])[0].tolist() == list(range(15))


def test_lines_of_the_padding_are_not_the_pictures() -> None:
    """The picture is 70 x 90, the network's 80 x 96."""
    beyond = ((46, 10), (-30.0, 0.0, 1.0, 0.0), 3.0)
    last = ((44, 20), (-30.0, 0.0, 1.0, 0.0), 3.0)
    assert _rows(_drawn(_network(beyond, last))) == {40}


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 30)])
def test_a_map_of_fewer_points_than_lines_is_read(size: tuple[int, int]) -> None:
    line = ((0, 0), (0.0, 0.0, 8.0, 0.0), 3.0)
    hint = mlsd(np.zeros((*size, 3), np.uint8), CPU, _network(line))
    assert hint[0].all() == (size[1] <= 17)
    assert hint[0, :17].all()


def test_a_failing_network_is_not_a_black_hint() -> None:
    def fail(given: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        _drawn(fail)


def test_the_defaults_are_the_originals() -> None:
    assert MLSD.settings({}) == {"value_threshold": 0.1, "distance_threshold": 0.1}
