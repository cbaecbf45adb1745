"""A blind study from its pictures to its ranks; its page in a browser, where there is one."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from controlstack.evaluation.files.pairing import Group
from controlstack.evaluation.files.study import StudyOptions, read_study, write_study
from controlstack.evaluation.study import read_key
from controlstack.evaluation.study_answers import Result, read_answers, result
from controlstack.ground.errors import UserError
from controlstack.ground.ours import Results
from tests.comfyui.browser import MISSING, Page, browsing

METHODS = ("secret-a", "secret-b", "secret-c")
LEVELS = {"secret-a": 40, "secret-b": 120, "secret-c": 200}
"""Grey levels, by which a test tells whose a picture on the page is."""
ROWS = ("garden", "house", "river", "tower")


def write(path: Path, level: int, size: int = 24) -> Path:
    """A grey picture, with the kind of metadata that ComfyUI writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    info.add_text("prompt", f"made by {path.parent.name}")
    Image.new("RGB", (size, size), (level,) * 3).save(path, pnginfo=info)
    return path


@pytest.fixture
def order(tmp_path: Path) -> StudyOptions:
    groups = tuple(
        Group(name, tuple(write(tmp_path / name / f"{row}.png", LEVELS[name]) for row in ROWS))
        for name in METHODS
    )
    hints = tuple(write(tmp_path / "hints" / f"{row}_canny.png", 255) for row in ROWS)
    return StudyOptions(groups=groups, hints=hints, title="Which?")


def make(order: StudyOptions, out: Path, overwrite: bool = False) -> tuple[Any, tuple[str, ...]]:
    return write_study(replace(order, out=out, overwrite=overwrite))


def key_of(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "key.json").read_text())
    return data


def page_of(folder: Path) -> dict[str, Any]:
    """What the page knows, read as a browser does."""
    html = (folder / "study.html").read_text()
    script = re.search(r'<script id="data"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert script
    data: dict[str, Any] = json.loads(script[1])
    return data


def level_of(address: str) -> int:
    head, data = address.split(",", 1)
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return int(np.asarray(image.convert("L")).mean())


def answers(folder: Path, rater: str, quality: list[str], fidelity: list[str]) -> Path:
    """A rater's file, as if all rows were ranked alike; methods are given the best first."""
    key = key_of(folder)

    def ids(row: dict[str, Any], order: list[str]) -> list[str]:
        by_method = {picture["method"]: picture["id"] for picture in row["pictures"]}
        return [by_method[method] for method in order]

    given = {
        row["id"]: {"quality": ids(row, quality), "fidelity": ids(row, fidelity)}
        for row in key["rows"]
    }
    path = folder / f"ranks-{rater}.json"
    path.write_text(json.dumps({"study": key["study"], "rater": rater, "answers": given}))
    return path


def test_the_page_does_not_tell_the_methods(order: StudyOptions, tmp_path: Path) -> None:
    make(order, tmp_path / "out")
    html = (tmp_path / "out" / "study.html").read_text()
    for told in (*METHODS, *ROWS, "made by", str(tmp_path)):
        assert told not in html
    for address in re.findall(r"data:image/webp;base64,[\w+/=]+", html):
        raw = base64.b64decode(address.split(",")[1])
        assert b"made by" not in raw


def test_the_key_tells_whose_each_picture_is(order: StudyOptions, tmp_path: Path) -> None:
    make(order, tmp_path / "out")
    whose = {
        picture["id"]: picture["method"]
        for row in key_of(tmp_path / "out")["rows"]
        for picture in row["pictures"]
    }
    page = page_of(tmp_path / "out")
    shown = [picture for row in page["rows"] for picture in row["pictures"]]
    assert len(shown) == len(whose) == len(METHODS) * len(ROWS)
    for picture in shown:
        assert level_of(picture["source"]) == pytest.approx(LEVELS[whose[picture["id"]]], abs=3)


def test_orders_differ_from_row_to_row_and_from_study_to_study(
    order: StudyOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rater who has the pictures and makes the study again learns neither ids nor orders."""
    given, drawn = iter(["00", "01"]), secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda n: next(given) if n == 16 else drawn(n))

    def made(out: str) -> tuple[set[str], list[tuple[int, ...]]]:
        make(order, tmp_path / out)
        page = page_of(tmp_path / out)
        pictures = [row["pictures"] for row in page["rows"]]
        ids = {page["study"], *(row["id"] for row in page["rows"])}
        ids |= {one["id"] for row in pictures for one in row}
        return ids, [tuple(level_of(one["source"]) for one in row) for row in pictures]

    ids, orders = made("a")
    again, others = made("b")
    assert len(set(orders)) > 1
    assert orders != others
    assert not ids & again


def test_the_same_study_made_again_beside_its_key_is_the_same_page(
    order: StudyOptions, tmp_path: Path
) -> None:
    make(order, tmp_path)
    before = [(tmp_path / name).read_bytes() for name in ("study.html", "key.json")]
    (tmp_path / "study.html").unlink()
    make(order, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("study.html", "key.json")] == before
    assert json.loads(before[1])["secret"] not in before[0].decode()


@pytest.mark.parametrize("what", ["picture", "hint", "title", "seed", "methods", "prompts"])
def test_whatever_changes_is_another_study(order: StudyOptions, tmp_path: Path, what: str) -> None:
    """So that no answers to former pictures count for new ones of the same names."""
    prompts = tmp_path / "p.txt"
    prompts.write_text("".join(f"{row}: words\n" for row in ROWS))
    order = replace(order, prompts=prompts)
    out = tmp_path / "out"
    make(order, out)
    old = answers(out, "ann", list(METHODS), list(METHODS))
    if what == "picture":
        write(order.groups[1].files[2], LEVELS["secret-b"] + 1)
    elif what == "hint":
        write(order.hints[3], 254)
    elif what == "prompts":
        prompts.write_text(prompts.read_text().replace("words", "other words"))
    else:
        changes = {"title": "Who?", "seed": 1, "methods": order.groups[::-1]}
        name = {"methods": "groups"}.get(what, what)
        order = replace(order, **{name: changes[what]})
    with pytest.raises(UserError, match="belongs to another study"):
        make(order, out, overwrite=True)
    make(order, tmp_path / "new")
    with pytest.raises(UserError, match="answers another study"):
        read_study(tmp_path / "new", [old])


def test_files_in_the_way(order: StudyOptions, tmp_path: Path) -> None:
    for name in ("study.html", "key.json", "result.json"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("mine")
        if name == "result.json":
            make(order, folder)
            file = answers(folder, "ann", list(METHODS), list(METHODS))
            work = partial(read_study, folder, [file])
        else:
            work = partial(make, order, folder)
        with pytest.raises(UserError, match=f"{name} is there already and was not made"):
            work()
        assert (folder / name).read_text() == "mine"
        work(overwrite=True)
        assert (folder / name).read_text() != "mine"


def test_an_input_is_not_written_over(order: StudyOptions, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(dict.fromkeys(ROWS, "words")))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "key.json").hardlink_to(prompts)
    with pytest.raises(UserError, match=r"key\.json is an input of this command"):
        make(replace(order, prompts=prompts), tmp_path / "out", overwrite=True)


def test_the_result_is_told_before_it_is_written(
    order: StudyOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(order, tmp_path / "out")
    file = answers(tmp_path / "out", "ann", list(METHODS), list(METHODS))

    def full(*given: object) -> None:
        raise UserError("no space left")

    monkeypatch.setattr(Results, "write", full)
    told: list[Result] = []
    with pytest.raises(UserError, match="no space"):
        read_study(tmp_path / "out", [file], tell=told.append)
    assert told[0].raters == ("ann",)


@pytest.mark.parametrize(
    "spelling", ["zoe\u0308 b.", "ZOË B.", "  Zoë   B. ", "Ｚoë B.", "Z\u200boë B."]
)
def test_a_rater_in_two_spellings_is_one(
    order: StudyOptions, tmp_path: Path, spelling: str
) -> None:
    make(order, tmp_path / "out")
    files = [
        broken(answers(tmp_path / "out", str(number), list(METHODS), list(METHODS)), rater=name)
        for number, name in enumerate(("Zoë B.", spelling))
    ]
    with pytest.raises(UserError, match="are both by"):
        read_study(tmp_path / "out", files)


def mutated(value: Any, draw: random.Random) -> Any:
    """A copy of JSON with one place in it changed into something else."""
    strange = [
        None,
        True,
        -1,
        10**400,
        1.5,
        "",
        "\x1b[31m",
        "x" * 300,
        [],
        {},
        [[]],
        [None],
        {"": 0},
    ]
    if draw.random() < 0.25 or not isinstance(value, (dict, list)) or not value:
        return draw.choice(strange)
    if isinstance(value, list):
        at = draw.randrange(len(value))
        changes = [mutated(value[at], draw)], [], [value[at]] * 2, [*value[:1], value[at]]
        return value[:at] + draw.choice(changes) + value[at + 1 :]
    key = draw.choice(list(value))
    kept = {name: one for name, one in value.items() if name != key}
    renamed = draw.choice([key, key, key, "other", "", "\x1b[2J"])
    return kept | {renamed: mutated(value[key], draw)}


@pytest.mark.parametrize("name", ["key.json", "ranks-ann.json"])
def test_damaged_and_hostile_files_are_one_sentence_that_names_them(
    order: StudyOptions, tmp_path: Path, name: str
) -> None:
    make(order, tmp_path)
    ranks = answers(tmp_path, "ann", list(METHODS), list(METHODS)).read_text()
    whole = json.loads((tmp_path / name).read_text())
    text = json.dumps(whole)
    key = (tmp_path / "key.json").read_text()
    draw = random.Random(name)
    refused = 0
    hostile = ["[" * 100_000, "1" * 5000, "NaN", "", "null", '"', "\ufeff{}", '{"study": 1e999}']
    for _ in range(1500):
        value = whole
        for _ in range(draw.randrange(1, 4)):
            value = mutated(value, draw)
        hostile.append(json.dumps(value))
    hostile += [text[: draw.randrange(len(text))] for _ in range(100)]
    for one in hostile:
        try:
            study = read_key(one if name == "key.json" else key, "the-key")
            given = ranks if name == "key.json" else one
            result([read_answers(study, given, "the-ranks")])
        except UserError as error:
            refused += 1
            said = str(error)
            assert "the-key" in said or "the-ranks" in said or "No question is answered" in said
            assert len(said) < 700
            assert said.isprintable()
    assert len(hostile) / 2 < refused < len(hostile)


def test_rows_that_lack_a_method_are_left_out_and_said(order: StudyOptions, tmp_path: Path) -> None:
    short = Group("secret-c", order.groups[2].files[:3])
    fewer = replace(order, groups=(*order.groups[:2], short), rows=2)
    _, notes = make(fewer, tmp_path / "out")
    assert "1 of 4 rows lack a method's picture and are left out" in notes
    assert "2 of 3 rows are asked, drawn with seed 0" in notes
    assert len(page_of(tmp_path / "out")["rows"]) == 2


def test_another_studys_key_is_not_overwritten(order: StudyOptions, tmp_path: Path) -> None:
    make(order, tmp_path / "out")
    key = (tmp_path / "out" / "key.json").read_bytes()
    make(order, tmp_path / "out")  # the same one again
    with pytest.raises(UserError, match=r"belongs to another study"):
        make(replace(order, seed=1), tmp_path / "out")
    assert (tmp_path / "out" / "key.json").read_bytes() == key


def test_one_method_is_no_ranking(order: StudyOptions, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two methods at least"):
        make(replace(order, groups=order.groups[:1], rows=2), tmp_path / "out")


def test_average_human_ranks(order: StudyOptions, tmp_path: Path) -> None:
    """Two raters of 3 methods: b is first for both, a and c change places."""
    out = tmp_path / "out"
    make(order, out)
    a, b, c = METHODS
    files = [
        answers(out, "ann", [b, a, c], [a, b, c]),
        answers(out, "bob", [b, c, a], [a, b, c]),
    ]
    found, written = read_study(out, files)
    quality = {rank.method: (rank.mean, rank.deviation) for rank in found.ranks["quality"]}
    half = pytest.approx(0.5**0.5)  # of 1 and 2
    assert quality == {b: (3.0, 0.0), a: (1.5, half), c: (1.5, half)}
    assert [rank.method for rank in found.ranks["fidelity"]] == [a, b, c]
    saved = json.loads(written[0].read_text())
    assert saved["raters"] == ["ann", "bob"]
    assert saved["ranks"]["quality"][0]["mean"] == 3.0
    assert "secret-b" in written[1].read_text()


def test_open_questions_are_said_and_the_others_counted(
    order: StudyOptions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make(order, out)
    file = answers(out, "ann", list(METHODS), list(METHODS))
    data = json.loads(file.read_text())
    first, second, *_ = data["answers"]
    del data["answers"][first]
    data["answers"][second]["quality"].pop()
    file.write_text(json.dumps(data))
    found, _ = read_study(out, [file])
    assert found.notes == ("ann left 3 questions open",)
    assert found.ranks["quality"][0].rankings == 2
    assert found.ranks["fidelity"][0].rankings == 3


def broken(file: Path, **changes: Any) -> Path:
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | changes))
    return file


def test_what_cannot_be_counted_is_named_file_by_file(order: StudyOptions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(order, out)

    def ranks(rater: str) -> Path:
        return answers(out, rater, list(METHODS), list(METHODS))

    foreign = broken(ranks("foreign"), study="0123456789ab")
    twice = ranks("twice")
    row, by_criterion = next(iter(json.loads(twice.read_text())["answers"].items()))
    one = by_criterion["quality"][0]
    broken(twice, answers={row: {"quality": [one, one, by_criterion["quality"][1]]}})
    good, again = ranks("good"), broken(ranks("again"), rater="Good")
    nothing = broken(ranks("nothing"), answers=[])
    (text := out / "ranks-text.json").write_text("{")
    with pytest.raises(UserError) as caught:
        read_study(out, [foreign, twice, good, again, nothing, text])
    said = str(caught.value)
    for expected in (
        "Nothing was counted",
        f"{foreign} answers another study ('0123456789ab'",
        f"{twice} does not rank the pictures of ",
        f"{good} and {again} are both by Good",
        f"{nothing} holds no ranks",
        f"{text} is not JSON",
    ):
        assert expected in said
    assert not (out / "result.json").exists()


def choose(page: Page, level: int) -> None:
    """Click the picture of this grey level."""
    page.js(
        """
        for (const pick of document.querySelectorAll(".choice > button:first-child")) {
          const image = pick.querySelector("img"), canvas = document.createElement("canvas");
          canvas.width = canvas.height = 1;
          const pen = canvas.getContext("2d");
          pen.drawImage(image, 0, 0, 1, 1);
          if (Math.abs(pen.getImageData(0, 0, 1, 1).data[0] - arguments[0]) < 8) {
            pick.click();
            return;
          }
        }
        throw new Error("no such picture");
        """,
        level,
    )


def until_loaded(page: Page) -> None:
    page.until(
        lambda: page.js(
            "const all = [...document.querySelectorAll('.choice img')];"
            "return all.length && all.every(i => i.complete && i.naturalWidth)"
        ),
        "the pictures",
    )


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
def test_a_rater_ranks_on_the_page(order: StudyOptions, tmp_path: Path) -> None:
    """By clicks: c, a, b for quality and b, c, a for fidelity; left, gone on, and saved."""
    out, downloads = tmp_path / "out", tmp_path / "downloads"
    downloads.mkdir()
    make(order, out)
    address = (out / "study.html").as_uri()
    with browsing() as page:
        page.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        page.driver.get(address)
        page.driver.find_element("id", "name").send_keys("Zoë B.")
        page.click("//button[.='Start']")
        for number in range(2 * len(ROWS)):
            if number == 3:  # the browser is closed in between
                page.driver.get(address)
                page.click("//button[.='Go on']")
            until_loaded(page)
            assert f"{number + 1} of {2 * len(ROWS)}" in page.text()
            for_fidelity = number % 2 == 1
            assert ("The condition that all" in page.text()) == for_fidelity
            assert not page.driver.find_element("id", "next").is_enabled()
            if number == 0:  # a mistake, taken back
                choose(page, LEVELS["secret-b"])
                choose(page, LEVELS["secret-b"])
            for method in ("secret-b", "secret-c") if for_fidelity else ("secret-c", "secret-a"):
                choose(page, LEVELS[method])
            shown = page.js("return [...document.querySelectorAll('.rank')].map(r => r.innerText)")
            assert sorted(shown) == ["1st", "2nd", "3rd"]
            page.click("//button[.='Next']")
        assert "All 8 questions are answered." in page.text()
        page.click("//button[.='Save my ranks']")
        page.until(lambda: list(downloads.glob("*.json")), "the file of ranks")
        page.click("//button[.='Show as text']")
        shown = page.js("return document.getElementById('text').value")
        assert page.driver.get_log("browser") == []
    [saved] = downloads.glob("*.json")
    assert saved.name == "ranks-Zoë_B_.json"
    assert saved.read_text() == shown
    found, _ = read_study(out, [saved])
    assert found.raters == ("Zoë B.",)
    assert {r.method: r.mean for r in found.ranks["quality"]} == {
        "secret-c": 3, "secret-a": 2, "secret-b": 1,
    }  # fmt: skip
    assert {r.method: r.mean for r in found.ranks["fidelity"]} == {
        "secret-b": 3, "secret-c": 2, "secret-a": 1,
    }  # fmt: skip
