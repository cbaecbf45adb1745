"""Average human rank: studies whose result is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlstack.evaluation.rank import Ranking, average_human_rank
from controlstack.ground.errors import UserError


def _ranking(rater: str, item: str, **ranks: int) -> Ranking:
    return Ranking(rater, item, ranks)


def test_three_raters() -> None:
    rankings = [
        _ranking("ann", "1", full=3, lite=2, none=1),
        _ranking("ann", "2", full=3, lite=2, none=1),
        _ranking("bob", "1", full=3, lite=2, none=1),
        _ranking("bob", "2", full=2, lite=3, none=1),
        _ranking("eve", "1", full=2, lite=3, none=1),
        _ranking("eve", "2", full=2, lite=3, none=1),
    ]
    full, lite, none = average_human_rank(rankings)
    assert [rank.method for rank in (full, lite, none)] == ["full", "lite", "none"]
    assert (full.mean, lite.mean, none.mean) == (2.5, 2.5, 1)
    # Raters' means of full: 3, 2.5 and 2.
    assert full.deviation == pytest.approx(0.5)
    assert full.error == pytest.approx(0.5 / math.sqrt(3))
    assert full.high - full.mean == pytest.approx(4.3027 * full.error, rel=1e-4)  # t, 2 degrees
    assert full.low == pytest.approx(5 - full.high)
    assert full.single_deviation == pytest.approx(math.sqrt(6 * 0.25 / 5))
    assert (full.raters, full.rankings) == (3, 6)
    assert (none.deviation, none.low, none.high) == (0, 1, 1)


def test_every_rater_counts_the_same() -> None:
    diligent = [_ranking("ann", str(i), a=2, b=1) for i in range(9)]
    found = average_human_rank([*diligent, _ranking("bob", "0", a=1, b=2)])
    assert [rank.mean for rank in found] == [1.5, 1.5]


def test_one_rater_has_no_spread() -> None:
    best, _ = average_human_rank([_ranking("ann", "1", a=2, b=1)])
    assert (best.method, best.mean) == ("a", 2)
    assert all(math.isnan(v) for v in (best.deviation, best.error, best.low, best.high))


@given(st.lists(st.permutations([1, 2, 3, 4, 5]), min_size=1, max_size=12))
def test_the_means_add_up(orders: list[list[int]]) -> None:
    rankings = [
        Ranking(f"rater {i % 3}", f"item {i // 3}", dict(zip("abcde", order, strict=True)))
        for i, order in enumerate(orders)
    ]
    assert sum(rank.mean for rank in average_human_rank(rankings)) == pytest.approx(15)


@pytest.mark.parametrize(
    ("rankings", "words"),
    [
        ([], "no rankings"),
        ([_ranking("ann", "cat", a=1, b=1)], "ann's ranking of cat is a 1, b 1"),
        ([_ranking("ann", "cat", a=1, b=3)], "each rank from 1 to 2"),
        (
            [_ranking("ann", "cat", a=1, b=2), _ranking("bob", "dog", a=1, c=2)],
            "bob's ranking of dog is of a, c, where others are of a, b",
        ),
        ([_ranking("ann", "cat", a=1, b=2)] * 2, "ann has ranked cat 2 times"),
    ],
)
def test_answers_that_do_not_hold(rankings: list[Ranking], words: str) -> None:
    with pytest.raises(UserError, match=words):
        average_human_rank(rankings)
