"""ComfyUI's prompt rules: weights, escapes, and how tokens are dealt out to chunks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.headless.models.prompt import Vocabulary, chunks, parse

LETTERS = Vocabulary(lambda text: [ord(letter) for letter in text], start=1, end=2, pad=3)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("a cat", [("a cat", 1.0)]),
        ("a (red:1.3) cat", [("a ", 1.0), ("red", 1.3), (" cat", 1.0)]),
        ("(red) cat", [("red", 1.1), (" cat", 1.0)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a (b:0.5) c:2)", [("a ", 2.0), ("b", 0.5), (" c", 2.0)]),  # numbers replace
        ("((a:2) b)", [("a", 2.0), (" b", 1.1)]),
        ("(a:b:1.5)", [("a:b", 1.5)]),
        ("(a:x)", [("a:x", 1.1)]),  # no number: text
        ("(:1.5)", [(":1.5", 1.1)]),
        ("()", []),
        (r"\(a\) (b\):1.2)", [("(a) ", 1.0), ("b)", 1.2)]),
        ("(never closed", [("(never closed", 1.0)]),
        ("closed) (not", [("closed) (not", 1.0)]),
        ("a:1.3", [("a:1.3", 1.0)]),
    ],
)
def test_weights(text: str, pieces: list[tuple[str, float]]) -> None:
    assert parse(text) == pieces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(a:nan)", "weighs 'a' with 'nan'"),
        ("(a:inf)", "weighs 'a' with 'inf'"),
        ("b (a:1e39)", "weighs 'a' with '1e39'; use a number like 1.2, at most 1e\\+15"),
        ("(" * 200 + "a" + ")" * 200, "more than 100 deep"),
    ],
)
def test_what_cannot_be_weighed(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet="()\\:.15ab \n", max_size=40))
def test_no_letter_is_lost(text: str) -> None:
    kept = "".join(piece for piece, _ in parse(text))
    assert kept.count("a") == text.count("a")
    assert kept.count("b") == text.count("b")


def dealt(*pieces: str, length: int = 14) -> list[str]:
    names = {1: "<", 2: ">", 3: "_"}
    weighted = [(piece, 1.0) for piece in pieces]
    rows = chunks(weighted, LETTERS, length)
    assert all(len(row) == length for row in rows)
    return ["".join(names.get(token, chr(token)) for token, _ in row) for row in rows]


def test_the_empty_prompt_is_one_row() -> None:
    assert dealt() == ["<>____________"]


def test_a_short_group_moves_to_the_next_row_whole() -> None:
    assert dealt("abcdefg", "hijklmn") == ["<abcdefg>_____", "<hijklmn>_____"]


def test_a_group_of_eight_or_more_is_torn() -> None:
    assert dealt("abcdefg", "hijklmno") == ["<abcdefghijkl>", "<mno>_________"]
    assert dealt("a" * 30) == ["<aaaaaaaaaaaa>", "<aaaaaaaaaaaa>", "<aaaaaa>______"]


def test_a_row_that_is_exactly_full_is_not_followed_by_an_empty_one() -> None:
    assert dealt("a" * 12) == ["<aaaaaaaaaaaa>"]


def test_weights_stay_with_their_tokens() -> None:
    (row,) = chunks([("a", 1.0), ("b", 1.5)], LETTERS, 6)
    assert row == [(1, 1.0), (97, 1.0), (98, 1.5), (2, 1.0), (3, 1.0), (3, 1.0)]
