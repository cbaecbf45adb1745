"""What strangers wrote stands on one line, and is not obeyed by a terminal."""

from __future__ import annotations

import pytest

from controlstack.ground.errors import UserError, several
from controlstack.ground.names import inner_name
from controlstack.ground.wording import listing, one_line, size_in_words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain é 中文 👨‍👩‍👧", "plain é 中文 👨‍👩‍👧"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b31m", "\\x9b31m"),  # the escape of eight bits
        ("ex\u202egnp.", "ex\\u202egnp."),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("\udcff", "\\udcff"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
)
def test_one_line(text: str, said: str) -> None:
    assert one_line(text) == said
    assert one_line(said) == said
    assert str(UserError(text)) == said
    assert listing([text]) == said


def test_details_are_lines_of_their_own() -> None:
    error = UserError("two are wrong:", ["a\nb", "c"])
    assert str(error) == "two are wrong:\n  a\\nb\n  c"
    assert str(error.at("node 3")) == "node 3: two are wrong:\n  a\\nb\n  c"


def test_several() -> None:
    assert str(several("2 are wrong:", ["a"])) == "a"
    assert (
        str(several("3 are wrong:", ["a", "b", "c"], 2)) == "3 are wrong:\n  a\n  b\n  and 1 more"
    )


@pytest.mark.parametrize(
    ("name", "path"), [("sub\\a.png", "sub/a.png"), ("sub/a.png", "sub/a.png"), ("./a", "a")]
)
def test_names_of_both_systems(name: str, path: str) -> None:
    assert str(inner_name(name, "the picture", "input")) == path


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a\\..\\..\\b", "/a", "\\a", "C:\\a", "C:a", "\\\\host\\a", "a\0b"],
)
def test_names_that_leave_their_folder(name: str) -> None:
    with pytest.raises(UserError, match=r"^the picture "):
        inner_name(name, "the picture", "input")


def test_sizes() -> None:
    assert [size_in_words(n) for n in (3.14e9, 250e6)] == ["3.1 GB", "250.0 MB"]
