"""Points: paired off, in pixels, and what is not there is as far off as can be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from controlstack.evaluation.points import MOST, point_agreement, points_of
from controlstack.ground.errors import UserError


def spots(*places: tuple[int, int], size: int = 2, height: int = 30, width: int = 40) -> np.ndarray:
    """A map with a square of `size` pixels at each x, y."""
    made = np.zeros((height, width), bool)
    for x, y in places:
        made[y : y + size, x : x + size] = True
    return made


def test_a_point_is_the_middle_of_a_spot_the_largest_first() -> None:
    both = spots((3, 4)) | spots((20, 10), size=5)
    assert points_of(both).tolist() == [[22, 12], [3.5, 4.5]]
    assert points_of(spots()).shape == (0, 2)
    corner = spots((0, 0), size=1) | spots((1, 1), size=1)
    assert points_of(corner).tolist() == [[0.5, 0.5]]


def test_the_distance_is_that_of_the_best_pairs() -> None:
    wanted = spots((5, 5), (25, 20))
    assert point_agreement(wanted, wanted) == (0, 0)
    # Each moved by 3 and 4 pixels, and named in the other order.
    assert point_agreement(spots((28, 24), (8, 9)), wanted) == (5, 0)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_point_without_a_partner_is_a_diagonal_away(swapped: bool) -> None:
    both = spots((5, 5), (25, 20)), spots((8, 9))
    found, wanted = reversed(both) if swapped else both
    assert point_agreement(found, wanted) == (pytest.approx((5 + 50) / 2), 1)
    assert point_agreement(spots(), spots((5, 5))) == (pytest.approx(50), 1)


def test_nothing_on_either_side_has_no_distance() -> None:
    distance, unpaired = point_agreement(spots(), spots())
    assert math.isnan(distance)
    assert unpaired == 0


def test_noise_is_cut_off_and_sizes_are_held() -> None:
    noise = np.zeros((100, 100), bool)
    noise[::2, ::2] = True  # 2500 spots
    assert len(points_of(noise)) == MOST
    with pytest.raises(UserError, match="differ in size"):
        point_agreement(noise, noise[:9])
