"""Lists and ranges of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.ground.ranges import numbers_of


@pytest.mark.parametrize(
    ("text", "whole", "numbers"),
    [
        ("0.4, 0.7,1", False, (0.4, 0.7, 1.0)),
        ("0.3..1.0:5", False, (0.3, 0.475, 0.65, 0.825, 1.0)),
        ("1..4", True, (1, 2, 3, 4)),
        ("4..1", True, (4, 3, 2, 1)),
        ("1..3", False, (1.0, 2.0, 3.0)),
        ("1..10:4", True, (1, 4, 7, 10)),
        ("-1..1:3,9", True, (-1, 0, 1, 9)),
        ("5..5:1", True, (5,)),
        ("1e-3..2e-3:2", False, (0.001, 0.002)),
    ],
)
def test_what_a_text_means(text: str, whole: bool, numbers: tuple[float, ...]) -> None:
    found = numbers_of(text, whole)
    assert found == numbers
    assert all(type(one) is (int if whole else float) for one in found)


@pytest.mark.parametrize(
    ("text", "whole", "words"),
    [
        ("0.3..1.0", False, "does not say how many"),
        ("1..10:3", True, "has 5.5, and whole numbers are wanted"),
        ("0.1..1:0", False, "a whole number from 1 to"),
        ("0.1..1:x", False, "'x' numbers"),
        ("1..2:1", True, "one number from two ends"),
        ("1..9999999", True, "9999999 numbers"),
        ("0.4,,0.7", False, "a number is missing"),
        ("0.5", True, "'0.5' is no whole number"),
        ("nan", False, "'nan' is no number"),
        ("1..inf", False, "'inf' is no number"),
    ],
)
def test_what_is_no_list_of_numbers(text: str, whole: bool, words: str) -> None:
    with pytest.raises(UserError, match=words):
        numbers_of(text, whole)


@given(st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=20))
def test_whole_numbers_keep_every_digit(numbers: list[int]) -> None:
    assert numbers_of(",".join(map(str, numbers)), whole=True) == tuple(numbers)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 50))
def test_a_range_has_both_ends_and_as_many_numbers(one: float, other: float, count: int) -> None:
    found = numbers_of(f"{one!r}..{other!r}:{count}", whole=False)
    assert len(found) == count
    assert found[0] == pytest.approx(one, abs=1e-9)
    assert found[-1] == pytest.approx(other, abs=1e-9)
