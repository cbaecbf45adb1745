"""Chance without a state: order, dropout and seeds depend on seed, step and position alone."""

from __future__ import annotations

import pytest

from controlstack.training.chance import generator, number, share
from controlstack.training.row_order import RowOrder, Shares


def test_numbers_are_spread_and_belong_to_their_key() -> None:
    shares = [share(7, "x", i) for i in range(4000)]
    assert all(0 <= value < 1 for value in shares)
    assert sum(shares) / 4000 == pytest.approx(0.5, abs=0.02)
    assert sum(value < 0.1 for value in shares) / 4000 == pytest.approx(0.1, abs=0.02)
    assert len({number(7, "x", i) for i in range(4000)}) == 4000
    assert number(7, "x", 1) != number(7, "y", 1) != number(8, "y", 1)
    assert number(1, 23) != number(12, 3)
    assert generator(7, "x").initial_seed() == number(7, "x") < 2**63


def test_every_row_comes_once_an_epoch_in_a_new_order() -> None:
    order = RowOrder(10, 3, 0.5, Shares(batch=4))
    rows = [pick.row for batch in order.picks(range(10)) for pick in batch]
    epochs = [rows[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_half_of_the_prompts_are_dropped_anew_each_time() -> None:
    order = RowOrder(50, 3, 0.5, Shares(batch=50))
    first, second = order.picks(range(2))
    dropped = [{pick.row for pick in epoch if pick.drop} for epoch in (first, second)]
    assert dropped[0] != dropped[1]
    many = [pick for batch in order.picks(range(40)) for pick in batch]
    assert sum(pick.drop for pick in many) / len(many) == pytest.approx(0.5, abs=0.04)
    never = RowOrder(50, 3, 0.0, Shares(batch=50))
    assert not any(pick.drop for pick in next(never.picks(range(1))))
    always = RowOrder(50, 3, 1.0, Shares(batch=50))
    assert all(pick.drop for pick in next(always.picks(range(1))))


def test_a_later_start_sees_what_the_whole_run_sees_there() -> None:
    order = RowOrder(7, 3, 0.5, Shares(batch=2, accumulate=3))
    assert list(order.picks(range(5, 9))) == list(order.picks(range(9)))[5 * 3 :]


def test_a_step_is_the_same_however_it_is_shared_out() -> None:
    def step(*shares: Shares) -> list[object]:
        batches = [batch for one in shares for batch in RowOrder(9, 3, 0.5, one).picks(range(4, 5))]
        return sorted((pick.row, pick.seed, pick.drop) for batch in batches for pick in batch)

    whole = step(Shares(batch=8))
    assert step(Shares(batch=2, accumulate=4)) == whole
    assert step(*(Shares(2, 2, 2, process) for process in range(2))) == whole
