"""The texts that the front end shows: the English are the nodes' own, the Chinese as many."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import controlstack
from tools.node_texts import (
    CHINESE,
    LOCALES,
    chinese_texts,
    followed,
    keys,
    node_texts,
    read_chinese,
)

FILES = ("nodeDefs.json", "main.json")
LANGUAGES = ("en", "zh")
SYNTAX = set("{}@|$")
"""What vue-i18n, which shows the texts, takes for more than text."""

_CODE = re.compile(r"[A-Za-z]+[_/.][A-Za-z0-9_/.]*\w")
"""A name that has to be typed as it is: a file, a folder, a key, a menu's entry."""


def _read(language: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LOCALES / language / file).read_text(encoding="utf-8"))
    return found


def _leaves(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(Dotted path, text) of every text."""
    for key, value in tree.items():
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from _leaves(value, here)
        else:
            yield here, value


def test_the_english_texts_are_the_nodes_own() -> None:
    assert _read("en", "nodeDefs.json") == node_texts(), "run: python -m tools.help_pages"


def test_the_chinese_texts_are_those_of_chinese_json() -> None:
    known = read_chinese()
    assert list(known) == keys(known), "run: python -m tools.help_pages"
    assert _read("zh", "nodeDefs.json") == chinese_texts(known), "run: python -m tools.help_pages"


def test_a_changed_text_takes_its_chinese_along(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"Finds edges in a picture.": "边缘", "Gone.": "没了", "hint": "控制图"}
    needed = ["hint", "Finds the edges in a picture.", "Something else altogether."]
    changed = followed(known, needed)
    assert list(changed.items()) == list(zip(needed[:2], ("控制图", "边缘"), strict=True))
    said = capsys.readouterr().out
    assert "Read the Chinese over: 边缘" in said
    assert "for: Something else altogether." in said


def test_every_folder_of_the_node_menu_has_a_name() -> None:
    nodes: list[Any] = list(controlstack.NODE_CLASS_MAPPINGS.values())
    folders = {part for node in nodes for part in node.CATEGORY.split("/")}
    for language in LANGUAGES:
        assert _read(language, "main.json")["nodeCategories"].keys() == folders


@pytest.mark.parametrize("file", FILES)
def test_the_chinese_texts_are_as_many(file: str) -> None:
    english, chinese = (dict(_leaves(_read(language, file))) for language in LANGUAGES)
    assert list(english) == list(chinese)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_or_taken_for_more_than_text(language: str) -> None:
    for file in FILES:
        for path, text in _leaves(_read(language, file)):
            assert text.strip(), path
            assert not SYNTAX & set(text), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_end(language: str) -> None:
    for path, text in _leaves(_read(language, "nodeDefs.json")):
        if path.endswith((".tooltip", ".description")):
            assert text.endswith({"en": (".",), "zh": ("。",)}[language]), path


def test_what_has_to_be_typed_is_the_same_in_chinese() -> None:
    english = dict(_leaves(_read("en", "nodeDefs.json")))
    for path, text in _leaves(_read("zh", "nodeDefs.json")):
        if path.endswith((".tooltip", ".description")):
            assert set(_CODE.findall(english[path])) == set(_CODE.findall(text)), path


def test_search_finds_every_node_by_other_names() -> None:
    for node_id, node in controlstack.NODE_CLASS_MAPPINGS.items():
        aliases: tuple[str, ...] = node.SEARCH_ALIASES  # a node's own
        assert len(set(aliases)) == len(aliases) > 1, node_id
        assert any(not alias.isascii() for alias in aliases), f"{node_id}: no Chinese name"


def test_the_locales_are_whole() -> None:
    assert {p.relative_to(LOCALES) for p in LOCALES.rglob("*.json")} == {
        *(Path(language, file) for language in LANGUAGES for file in FILES),
        Path(CHINESE.name),
    }
