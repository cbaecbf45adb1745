"""Means by group, what is best, JSON without NaN, and which rows a page shows."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from controlstack.evaluation.fidelity import Figure, Mean
from controlstack.evaluation.html import data_uri, number, webp
from controlstack.evaluation.report import Entry, Report, summary, to_json
from controlstack.evaluation.report_page import Cell, PageRow, report_page
from controlstack.ground.structured import read_json

CHANCE = (Figure("good", 0.05, True),)


def entry(group: str, row: str, good: float, bad: float = 0.0) -> Entry:
    figures = (Figure("good", good, True), Figure("bad", bad, False))
    return Entry(group, row, f"h/{row}.png", f"{group}/{row}.png", figures)


def report(*entries: Entry, **further: object) -> Report:
    groups = tuple(dict.fromkeys(one.group for one in entries))
    return Report({"preprocessor": "canny"}, groups, entries, **further)


def test_means_spread_and_the_best() -> None:
    good, bad = summary(
        report(
            entry("one", "a", 0.2, 5), entry("one", "b", 0.6, 7),
            entry("two", "a", 0.5, 2), entry("two", "b", 0.5, math.nan),
        )
    )  # fmt: skip
    assert good.by_group["one"].value == pytest.approx(0.4)
    assert good.by_group["one"].deviation == pytest.approx(math.sqrt(0.08))
    assert good.best == ("two",)
    assert (bad.by_group["two"].value, bad.by_group["two"].count) == (2, 1)
    assert bad.best == ("two",)  # lower is better


def test_one_group_is_not_the_best_of_anything() -> None:
    assert [line.best for line in summary(report(entry("one", "a", 1)))] == [(), ()]


def test_figures_of_sets_come_last() -> None:
    fid = {"one": (Mean("FID", 12.0, math.nan, 3, False),)}
    lines = summary(report(entry("one", "a", 1), quality=fid))
    assert [line.name for line in lines] == ["good", "bad", "FID"]


def test_json_has_null_where_there_is_no_number() -> None:
    text = json.dumps(to_json(report(entry("one", "a", math.nan, math.inf))), allow_nan=False)
    assert json.loads(text)["pictures"][0]["figures"] == {"good": None, "bad": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.126, "0.13"), (-3.456, "-3.46"), (12.34, "12.3"), (123.4, "123"), (math.nan, "–")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def row(name: str) -> PageRow:
    picture = webp(np.zeros((4, 4, 3), np.uint8))
    return PageRow(name, picture, {"one": Cell(picture, picture)})


def shown(page: str) -> list[str]:
    return re.findall(r'data-name="([^"]+)"', page)


def test_a_page_of_many_rows_goes_from_the_worst_to_the_best() -> None:
    values = {f"r{i:02}": (i * 8 % 21) / 20 for i in range(21)}
    rows = [row(name) for name in values]
    whole = report(*(entry("one", name, value) for name, value in values.items()))
    page = report_page(whole, rows, most=5).decode()
    assert [values[name] for name in shown(page)] == [0, 0.25, 0.5, 0.75, 1]
    assert "5 of 21 rows" in page
    assert len(shown(report_page(whole, rows).decode())) == 21


def test_rows_are_those_of_the_group_that_obeys_and_groups_stay_in_their_order() -> None:
    """The first group has what chance gives; the other one is the best."""
    picture = webp(np.zeros((4, 4, 3), np.uint8))
    cells = {name: Cell(picture, picture) for name in ("none", "best")}
    rows = [PageRow(f"r{at}", picture, cells) for at in range(9)]
    entries = [entry("none", f"r{at}", at / 100) for at in range(9)]
    entries += [entry("best", f"r{at}", 1 - at / 10) for at in range(9)]
    whole = report(*(replace(one, shuffled=CHANCE) for one in entries))
    page = report_page(whole, rows, most=2).decode()
    assert shown(page) == ["r8", "r0"]
    head = page[page.index("<thead>") : page.index("</thead>")]
    places = [head.index(f">{name}<") for name in ("none", "best", "by chance")]
    assert places == sorted(places)
    assert re.findall(r"<option( selected)?>(none|best)<", page) == [
        ("", "none"),
        (" selected", "best"),
    ]


def test_names_of_any_kind_can_be_written() -> None:
    name = "\udcff\x1b[31m\u202e<b>"
    whole = report(replace(entry(name, name, 1), hint=name, picture=name), notes=(name,))
    picture = webp(np.zeros((4, 4, 3), np.uint8))
    page = report_page(whole, [PageRow(name, picture, {name: Cell(picture, picture)})])
    text = page.decode()
    for obeyed in ("\x1b", "\u202e", "<b>"):
        assert obeyed not in text
    assert "\\udcff\\x1b[31m\\u202e&lt;b&gt;" in text
    again = read_json(json.dumps(to_json(whole)), "report.json")
    assert isinstance(again, dict)
    assert again["groups"] == ["\\udcff\x1b[31m\u202e<b>"]


def test_a_page_whose_figures_are_no_numbers() -> None:
    rows = [row("a"), row("b")]
    whole = report(*(entry("one", name, math.nan) for name in "ab"))
    page = report_page(whole, rows).decode()
    assert shown(page) == ["a", "b"]
    assert "nan" not in page.lower()


def test_pictures_are_small_and_tell_nothing_else() -> None:
    large = webp(np.full((40, 4000, 3), 0.5, np.float32), longest=100)
    assert large[:4] == b"RIFF"
    assert data_uri(large).startswith("data:image/webp;base64,")
    with Image.open(BytesIO(large)) as image:
        assert image.size == (100, 1)
        assert abs(np.asarray(image).astype(int).mean() - 128) < 3
