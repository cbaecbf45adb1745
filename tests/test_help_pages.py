"""Each node's help page, in both languages: it says what the node is now."""

from __future__ import annotations

import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

import controlstack
from controlstack.preprocessors.registry import EXACT, PREPROCESSORS
from tools.help_pages import DOCS, MADE, page, path_of, texts_of
from tools.help_pictures import FROM_RESULTS, LARGEST, drawn
from tools.node_texts import inputs

NODES = list(controlstack.NODE_CLASS_MAPPINGS)
HEADINGS = {
    "en": ["Inputs", "Outputs", "Example", "Common mistakes"],
    "zh": ["输入", "输出", "示例", "常见错误"],
}
FOLDED = {"mode", "area_hint"}
DEFAULT = {"en": "default", "zh": "默认"}
TO = {"en": "to", "zh": "到"}
TO_WIRE = {"en": "optional", "zh": "可选"}
_NAMED = re.compile(r"`([^`]+)`")
_PICTURE = re.compile(r"!\[[^]]+\]\(([^)]+)\)")

pages = pytest.mark.parametrize(
    ("node_id", "language"), [(node, language) for node in NODES for language in HEADINGS]
)


def _sections(node_id: str, language: str) -> dict[str, str]:
    """Heading -> what stands under it; the title's is what comes before the first heading."""
    text = path_of(node_id, language).read_text(encoding="utf-8")
    title, *sections = re.split(r"^##? ", text, flags=re.MULTILINE)[1:]
    named = (section.partition("\n") for section in (f"title\n{title}", *sections))
    return {heading: body.strip() for heading, _, body in named}


def _rows(section: str) -> dict[str, tuple[str, str, list[str]]]:
    """The lines of all lists, by the name in backticks that each begins with: label, what it is,
    and the facts at its end.
    """
    line = r"^- ((?:[^`\n]+ )?`\w+`)(?:: |：)(.*?) ?\*([^*]*)\*$"
    lines = re.findall(line, section, re.MULTILINE)
    return {
        _NAMED.findall(label)[-1]: (label, what, facts.split(" · ")) for label, what, facts in lines
    }


def test_what_few_change_is_folded_away() -> None:
    specs = inputs(controlstack.NODE_CLASS_MAPPINGS["ControlStackAdd"])
    assert {n for n, (_, options) in specs.items() if options.get("advanced")} == FOLDED


def test_every_page_belongs_to_a_node() -> None:
    expected = {path_of(node, language) for node in NODES for language in HEADINGS}
    assert set(DOCS.rglob("*.md")) == expected


@pages
def test_a_page_has_all_its_parts_under_the_node_s_name(node_id: str, language: str) -> None:
    sections = _sections(node_id, language)
    assert sections["title"].startswith(texts_of(node_id, language)["display_name"] + "\n")
    assert [heading for heading in sections if heading in HEADINGS[language]] == HEADINGS[language]
    assert all(sections.values())


@pages
def test_its_inputs_are_the_node_s(node_id: str, language: str) -> None:
    section, folded, advanced = _sections(node_id, language)[HEADINGS[language][0]].partition(
        {"en": "### Advanced inputs", "zh": "### 高级输入"}[language]
    )
    specs = inputs(controlstack.NODE_CLASS_MAPPINGS[node_id])
    hidden = [name for name, (_, options) in specs.items() if options.get("advanced")]
    assert list(_rows(section)) == [name for name in specs if name not in hidden]
    assert (list(_rows(advanced)), bool(folded)) == (hidden, bool(hidden))
    rows = _rows(section) | _rows(advanced)
    for name, (kind, options) in specs.items():
        label, what, (of_kind, *facts) = rows[name]
        if language != "en":
            assert label == f"{texts_of(node_id, language)['inputs'][name]['name']} `{name}`"
        assert of_kind == ("COMBO" if isinstance(kind, list) else kind)
        assert what
        default = next(
            (f.split(" ", 1)[1] for f in facts if f.startswith(f"{DEFAULT[language]} ")), ""
        )
        if kind in ("INT", "FLOAT") and not options.get("forceInput"):
            low, high = facts[-1].split(f" {TO[language]} ")
            shown = [float(number) for number in (default, low, high)]
            known = [float(options[key]) for key in ("default", "min", "max")]
            assert shown == pytest.approx(known, rel=1e-5)  # six digits of a number are shown
        if isinstance(kind, list) and "default" in options:
            assert default == options["default"]
            assert facts[-1] == ", ".join(kind)
        if kind == "STRING" and not options["tooltip"].startswith("OpenPose JSON"):
            assert default == options.get("default", "")
            assert (TO_WIRE[language] in facts) == ("default" not in options)


@pages
def test_its_outputs_are_the_node_s(node_id: str, language: str) -> None:
    rows = _rows(_sections(node_id, language)[HEADINGS[language][1]])
    node: Any = controlstack.NODE_CLASS_MAPPINGS[node_id]
    assert list(rows) == list(node.RETURN_NAMES)
    assert [facts for _, _, facts in rows.values()] == [[kind] for kind in node.RETURN_TYPES]
    if language != "en":
        names = [text["name"] for text in texts_of(node_id, language)["outputs"].values()]
        assert [label.partition(" `")[0] for label, _, _ in rows.values()] == names


@pages
def test_its_markdown_is_understood(node_id: str, language: str) -> None:
    # A bold word that ends in a bracket and goes on without a space is none (CommonMark 6.2).
    text = path_of(node_id, language).read_text(encoding="utf-8")
    shown = MarkdownIt("commonmark").enable("table").render(text)
    assert "**" not in shown
    assert shown.count("<ul>") >= 2
    assert shown.count("<em>") >= 1
    assert "*" not in re.sub(r"<code>.*?</code>", "", shown)


@pages
def test_its_tables_fit_the_help_panel(node_id: str, language: str) -> None:
    # 290 pixels: of four columns the last are cut off.
    lines = path_of(node_id, language).read_text(encoding="utf-8").splitlines()
    assert max((line.count("|") - 1 for line in lines if line.startswith("|")), default=0) <= 3


@pages
def test_its_pictures_are_there(node_id: str, language: str) -> None:
    # The front end takes them as lying beside the English pages, whatever the language.
    for picture in _PICTURE.findall(path_of(node_id, language).read_text(encoding="utf-8")):
        assert (DOCS / picture).is_file()


def test_both_languages_have_the_same_headings_and_pictures() -> None:
    for node_id in NODES:
        english, chinese = (path_of(node_id, language).read_text("utf-8") for language in HEADINGS)
        assert english.count("\n## ") == chinese.count("\n## "), node_id
        assert _PICTURE.findall(english) == _PICTURE.findall(chinese), node_id


@pytest.mark.parametrize("language", HEADINGS)
def test_pages_say_what_their_nodes_are_now(language: str) -> None:
    for node_id in MADE:
        now = path_of(node_id, language).read_text(encoding="utf-8")
        assert page(node_id, language, now) == now, "run: python -m tools.help_pages"


@pytest.mark.parametrize("language", HEADINGS)
def test_the_weights_of_a_page_are_the_preprocessor_s(language: str) -> None:
    for entry in PREPROCESSORS.values():
        weights = _sections(entry.node, language).get({"en": "Weights", "zh": "权重"}[language])
        assert (weights is None) == (entry.learning is None), entry.name
        if entry.learning is None or weights is None:
            continue
        for one in (*entry.learning.models, *entry.learning.also):
            page = f"[{one.name}](https://huggingface.co/{one.repo})"
            link = f"- {page if one.shipped is None else one.name}"
            (row,) = [line for line in weights.splitlines() if line.startswith(link)]
            assert f"`{one.files[-1]}`" in row
            assert all(f"`{file}`" in weights for file in one.files)
            assert one.licence in row
            assert ("**" in row) == (not one.commercial), "the mark of what is not for sale"


def test_every_hint_without_weights_has_its_picture() -> None:
    assert {entry.name for entry in drawn()} | set(FROM_RESULTS) == {e.name for e in EXACT}
    for entry in EXACT:
        now = path_of(entry.node, "en").read_text(encoding="utf-8")
        assert _PICTURE.findall(now) == [f"images/{entry.name}.jpg"], entry.name


def test_pictures_are_small_and_all_shown() -> None:
    pages = "".join(path_of(node, "en").read_text(encoding="utf-8") for node in NODES)
    pictures = list((DOCS / "images").iterdir())
    assert {f"images/{picture.name}" for picture in pictures} == set(_PICTURE.findall(pages))
    assert all(picture.stat().st_size <= LARGEST for picture in pictures)


def test_what_is_written_by_hand_is_kept() -> None:
    old = "# Old\n\nOld.\n\nBy hand.\n\n## Inputs\n\nold\n\n## More\n\nToo.\n"
    new = page("ControlStackCanny", "en", old)
    assert new.startswith("# Canny Hint\n\nFinds edges")
    assert "\n\nBy hand.\n\n## Inputs\n\n- `image`: " in new
    assert new.endswith("## More\n\nToo.\n")
    assert not re.search("^(# Old|Old\\.|old)$", new, re.MULTILINE)


def test_numbers_are_written_as_people_write_them() -> None:
    text = path_of("ControlStackTrain", "en").read_text(encoding="utf-8")
    assert "*FLOAT · default 1e-5 · 0 to 1e6*" in text


@pages
def test_hint_nodes_are_named_as_they_are_shown(node_id: str, language: str) -> None:
    text = path_of(node_id, language).read_text(encoding="utf-8")
    ending = {"en": "Hint", "zh": "控制图"}[language]
    named = re.findall(rf"\*\*(?! )([^*]*{ending})\*\*", re.sub(r"\s+", " ", text))
    assert set(named) <= {texts_of(node, language)["display_name"] for node in NODES}
