"""Whatever a text holds, a reader gives its value or one UserError that names the file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.ground.structured import read_csv, read_json, read_toml

HOSTILE = [
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 10_000,
    "a = " + "9" * 10_000,
    "a = " + "[" * 100_000,
    "a = " + "{a=" * 100_000,
    '"\\ud800"',
    "NaN",
    '{"a": 1, "a": 2}',
    "1e999",
    "a = 2026-02-31",
    'a,b\n"' + "x" * 200_000 + '"\n',
    "a\0b,c\n1,2",
    "\x1b[31m",
    "",
]


def refusal(read: Callable[[str, str], object], text: str) -> str:
    """What is said against `text`, which stands in f.x; nothing where it is taken."""
    try:
        read(text, "f.x")
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts(text: str) -> None:
    for read in (read_json, read_toml, lambda *a: list(read_csv(*a))):
        said = refusal(read, text)
        assert said == "" or (said.startswith("f.x ") and said.isprintable() and len(said) < 400)


@settings(deadline=None, max_examples=300)
@given(text=st.text(alphabet=st.sampled_from('{}[]",:=.#\n\\u0019eE+-ntrad\0\x1b'), max_size=40))
def test_any_text(text: str) -> None:
    for read in (read_json, read_toml, lambda *a: list(read_csv(*a))):
        refusal(read, text)


def test_a_long_cell_is_read_and_the_limit_of_others_stays() -> None:
    before = csv.field_size_limit()
    assert read_csv(f"a\n{'x' * 300_000}\n", "f") == [(2, {"a": "x" * 300_000})]
    assert csv.field_size_limit() == before


def test_a_doubled_column_is_refused_and_one_without_a_name_is_not() -> None:
    assert refusal(read_csv, "a,b,a\n1,2,3\n").endswith("the column 'a' twice; rename one of them")
    assert read_csv(",,a\n1,2,3\n", "f") == [(2, {"a": "3"})]


def test_values() -> None:
    assert read_json(json.dumps({"a": [1, 2.5, None, "é"]}), "f") == {"a": [1, 2.5, None, "é"]}
    assert read_toml("[a]\nb = 1", "f") == {"a": {"b": 1}}
    rows = list(read_csv("a,b\n1,2\n\n3\n4,5,6\n", "f"))
    assert rows == [(2, {"a": "1", "b": "2"}), (4, {"a": "3"}), (5, {"a": "4", "b": "5"})]
