"""Lists and ranges of numbers."""

from decimal import Decimal

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
        ("0.1..0.3:3", False, (0.1, 0.2, 0.3)),
        ("0..1:4", False, (0.0, 0.3333333333, 0.6666666667, 1.0)),
        ("0.123456789012..0.2:3", False, (0.123456789012, 0.161728394506, 0.2)),
        ("1e-12..5e-12:3", False, (1e-12, 3e-12, 5e-12)),
        ("1e-300..3e-300:3", False, (1e-300, 2e-300, 3e-300)),
        ("0.30000000000000004..0.5:2", False, (0.30000000000000004, 0.5)),
        ("9007199254740993..9007199254740995", True, tuple(range(2**53 + 1, 2**53 + 4))),
        ("9007199254740993..9007199254740997:3", True, tuple(range(2**53 + 1, 2**53 + 6, 2))),
        ("0.5..0.5:3", False, (0.5, 0.5, 0.5)),
        ("1e-400000000,1e-400000000..1:3", False, (0.0, 0.0, 0.5, 1.0)),
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
def test_a_range_has_both_ends_as_written_and_as_many_numbers(
    one: float, other: float, count: int
) -> None:
    found = numbers_of(f"{one!r}..{other!r}:{count}", whole=False)
    assert len(found) == count
    assert (found[0], found[-1]) == (one, other)


@given(st.integers(-1000, 1000), st.integers(1, 300), st.integers(2, 40), st.integers(0, 6))
def test_numbers_between_have_no_digits_more_than_the_step(
    first: int, step: int, count: int, decimals: int
) -> None:
    """Hundredths from hundredths: 0.3, and not 0.30000000000000004."""
    whole = [first + step * number for number in range(count)]
    texts = [str(Decimal(one).scaleb(-decimals)) for one in whole]
    found = numbers_of(f"{texts[0]}..{texts[-1]}:{count}", whole=False)
    assert found == tuple(map(float, texts))
