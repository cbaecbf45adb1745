"""Prompts by picture's name, in every form they come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlstack.evaluation.files.prompts import prompts_of, read_prompts
from controlstack.ground.errors import UserError

WANTED = {"house": "a house, at night", "tree": "a tree: old"}
FILL50K = [
    {"source": "source/0.png", "target": "target/House.png", "prompt": "a house, at night"},
    {"source": "source/1.png", "target": "target/tree.png", "prompt": "a tree: old"},
]
IMAGEFOLDER = [
    {"file_name": "house.jpg", "text": "a house, at night"},
    {"file_name": "sub\\tree.jpg", "text": "a tree: old"},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", json.dumps({"house.png": "a house, at night", "Tree": "a tree: old"})),
        ("p.json", json.dumps(IMAGEFOLDER)),
        ("p.json", "\n".join(map(json.dumps, FILL50K))),
        ("p.jsonl", "\ufeff" + "\n\n".join(map(json.dumps, IMAGEFOLDER))),
        ("p.csv", 'file_name,caption\nhouse.png,"a house, at night"\ntree.png,a tree: old\n'),
        ("p.txt", "house: a house, at night\n\ntree.png: a tree: old\n"),
        ("p.tsv", "house\ta house, at night\ntree\ta tree: old"),
    ],
)
def test_forms(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_prompts(tmp_path / name) == WANTED


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.json", "{", "neither JSON nor JSON lines"),
        ("p.json", "[1]", "row 1, has no file and prompt"),
        ("p.json", "{}", "holds no prompts"),
        ("p.csv", "file_name,words\na.png,b\n", "row 2, has no file and prompt"),
        ("p.txt", "house\n", "line 1, is not `name: prompt`: 'house'"),
        ("p.txt", "a: one\nA.png: two\n", "two prompts for 'a'"),
        ("p.txt", "", "holds no prompts"),
        ("p.json", "[" * 100_000, "neither JSON nor JSON lines"),
        ("p.jsonl", "1" * 5000, "too many digits"),
        ("p.json", '{"a": "\\ud800"}', "half of a surrogate pair"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"p\.\w+") as caught:
        read_prompts(tmp_path / name)
    assert said in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_prompts(tmp_path / "none.txt")
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="is no text in UTF-8"):
        read_prompts(tmp_path / "p.txt")


def test_files_take_the_longest_name_that_theirs_begins_with() -> None:
    known = {"a": "one", "a_1": "two"}
    files = [Path("x/A_1_0003.png"), Path("a-7.png"), Path("a.png")]
    assert prompts_of(files, known, Path("p.txt")) == ["two", "one", "one"]
    with pytest.raises(UserError, match=r"p\.txt has no prompt for b\.png, c\.png"):
        prompts_of([*files, Path("b.png"), Path("c.png")], known, Path("p.txt"))
