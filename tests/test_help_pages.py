"""Each node's help page, in both languages: it says what the node is now."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import controlstack
from tests.node_texts import LOCALES, inputs

DOCS = Path(controlstack.__file__).parent / controlstack.WEB_DIRECTORY / "docs"
NODES = list(controlstack.NODE_CLASS_MAPPINGS)
HEADINGS = {
    "en": ["Inputs", "Outputs", "Example", "Common mistakes"],
    "zh": ["输入", "输出", "示例", "常见错误"],
}
TO = {"en": "to", "zh": "到"}
_NAMED = re.compile(r"`([^`]+)`")
_PICTURE = re.compile(r"!\[[^]]+\]\(([^)]+)\)")

pages = pytest.mark.parametrize(
    ("node_id", "language"), [(node, language) for node in NODES for language in HEADINGS]
)


def _path(node_id: str, language: str) -> Path:
    return DOCS / (f"{node_id}.md" if language == "en" else f"{node_id}/{language}.md")


def _texts(node_id: str, language: str) -> dict[str, Any]:
    path = LOCALES / language / "nodeDefs.json"
    texts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))[node_id]
    return texts


def _sections(node_id: str, language: str) -> dict[str, str]:
    """Heading -> what stands under it; the title's is what comes before the first heading."""
    page = _path(node_id, language).read_text(encoding="utf-8")
    title, *sections = re.split(r"^##? ", page, flags=re.MULTILINE)[1:]
    named = (section.partition("\n") for section in (f"title\n{title}", *sections))
    return {heading: body.strip() for heading, _, body in named}


def _rows(table: str) -> dict[str, list[str]]:
    """The cells of a table by the name in backticks that a row begins with, heading left out."""
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines[2:]]
    return {_NAMED.findall(row[0])[-1]: row for row in rows}


def test_every_page_belongs_to_a_node() -> None:
    expected = {_path(node, language) for node in NODES for language in HEADINGS}
    assert set(DOCS.rglob("*.md")) == expected


@pages
def test_a_page_has_all_its_parts_under_the_node_s_name(node_id: str, language: str) -> None:
    sections = _sections(node_id, language)
    assert sections["title"].startswith(_texts(node_id, language)["display_name"] + "\n")
    assert [heading for heading in sections if heading in HEADINGS[language]] == HEADINGS[language]
    assert all(sections.values())


@pages
def test_its_inputs_are_the_node_s(node_id: str, language: str) -> None:
    rows = _rows(_sections(node_id, language)[HEADINGS[language][0]])
    specs = inputs(controlstack.NODE_CLASS_MAPPINGS[node_id])
    assert list(rows) == list(specs)
    for name, (kind, options) in specs.items():
        shown, what, of_kind, default, span = rows[name]
        if language != "en":
            assert shown == f"{_texts(node_id, language)['inputs'][name]['name']} `{name}`"
        assert of_kind == ("COMBO" if isinstance(kind, list) else kind)
        assert what
        if kind in ("INT", "FLOAT"):
            assert default == f"{options['default']:g}"
            assert span == f"{options['min']:g} {TO[language]} {options['max']:g}"
        if isinstance(kind, list) and "default" in options:
            assert (default, span) == (options["default"], ", ".join(kind))


@pages
def test_its_outputs_are_the_node_s(node_id: str, language: str) -> None:
    rows = _rows(_sections(node_id, language)[HEADINGS[language][1]])
    node: Any = controlstack.NODE_CLASS_MAPPINGS[node_id]
    assert list(rows) == list(node.RETURN_NAMES)
    assert [row[2] for row in rows.values()] == list(node.RETURN_TYPES)
    if language != "en":
        names = [text["name"] for text in _texts(node_id, language)["outputs"].values()]
        assert [row[0].partition(" `")[0] for row in rows.values()] == names


@pages
def test_its_markdown_is_understood(node_id: str, language: str) -> None:
    # A bold word that ends in a bracket and goes on without a space is none (CommonMark 6.2).
    page = _path(node_id, language).read_text(encoding="utf-8")
    shown = MarkdownIt("commonmark").enable("table").render(page)
    assert "**" not in shown
    assert shown.count("<table>") >= 2


@pages
def test_its_pictures_are_there(node_id: str, language: str) -> None:
    # The front end takes them as lying beside the English pages, whatever the language.
    for picture in _PICTURE.findall(_path(node_id, language).read_text(encoding="utf-8")):
        assert (DOCS / picture).is_file()


def test_both_languages_have_the_same_headings_and_pictures() -> None:
    for node_id in NODES:
        english, chinese = (_path(node_id, language).read_text("utf-8") for language in HEADINGS)
        assert english.count("\n## ") == chinese.count("\n## "), node_id
        assert _PICTURE.findall(english) == _PICTURE.findall(chinese), node_id
