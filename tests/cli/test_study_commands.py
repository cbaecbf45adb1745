"""`controlstack study make` and `study read` from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.cli.conftest import app
from tests.cli.prompts import Run

ROWS = ("garden", "house")


@pytest.fixture
def pictures(folder: Path) -> Path:
    for place in ("ours", "theirs", "hints"):
        (folder / place).mkdir()
        for name in ROWS:
            Image.new("RGB", (16, 16), (90, 90, 90)).save(folder / place / f"{name}.png")
    return folder


def write_ranks(folder: Path, rater: str, first: str) -> Path:
    """Everything ranked with the method `first` on top."""
    key = json.loads((folder / "output/study/key.json").read_text())
    given = {}
    for row in key["rows"]:
        best_first = sorted(row["pictures"], key=lambda one: one["method"] != first)
        ids = [one["id"] for one in best_first]
        given[row["id"]] = {"quality": ids, "fidelity": ids}
    path = folder / f"ranks-{rater}.json"
    path.write_text(json.dumps({"study": key["study"], "rater": rater, "answers": given}))
    return path


def test_make_and_read(run: Run, pictures: Path) -> None:
    made = run("study", "make", "ours", "others=theirs", "--hints", "hints")
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout == "output/study/study.html\noutput/study/key.json\n"
    for rater, first in (("ann", "ours"), ("bob", "ours"), ("cid", "others")):
        write_ranks(pictures, rater, first)
    read = run("study", "read", "output/study", "ranks-*.json")
    assert read.exit_code == 0, read.stderr
    assert "3 raters" in read.stdout
    saved = json.loads((pictures / "output/study/result.json").read_text())
    quality = {rank["method"]: rank["mean"] for rank in saved["ranks"]["quality"]}
    assert quality == {"ours": pytest.approx(5 / 3), "others": pytest.approx(4 / 3)}


def test_one_rater_has_no_spread(run: Run, pictures: Path) -> None:
    run("study", "make", "ours", "theirs", "--hints", "hints")
    read = run("study", "read", "output/study", write_ranks(pictures, "ann", "ours"))
    assert read.exit_code == 0, read.stderr
    assert "±" not in read.stdout
    saved = json.loads((pictures / "output/study/result.json").read_text())
    assert saved["ranks"]["quality"][0]["deviation"] is None
    assert "±" not in (pictures / "output/study/result.html").read_text().split("<p")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("make", "ours", "--hints", "hints"), "two methods at least"),
        (("make", "ours", "theirs", "--hints", "none"), "none is not there"),
        (("make", "ours", "nobody", "--hints", "hints"), "nobody is not there"),
        (("read", "hints", "hints/house.png"), "hints has no key.json"),
    ],
)
def test_one_sentence_for_what_is_wrong(
    run: Run, pictures: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = run("study", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (pictures / "output").exists()


def test_prompts_are_shown(run: Run, pictures: Path) -> None:
    (pictures / "p.txt").write_text("garden: a walled garden\nhouse: a red house\n")
    asked = ("study", "make", "ours", "theirs", "--hints", "hints", "--prompts", "p.txt")
    assert run(*asked).exit_code == 0
    page = (pictures / "output/study/study.html").read_text()
    assert "a walled garden" in page
    (pictures / "p.txt").write_text("garden: a walled garden\n")
    missing = run(*asked)
    assert missing.exit_code == 2
    assert "p.txt has no prompt for house.png" in missing.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_table_in_any_letters(run: Run, pictures: Path, encoding: str) -> None:
    run("study", "make", "[red]a[/blue]\x1b[2J=ours", "theirs", "--hints", "hints")
    ranks = [str(write_ranks(pictures, rater, "theirs")) for rater in ("ann", "bob")]
    read = CliRunner(charset=encoding).invoke(app, ["study", "read", "output/study", *ranks])
    assert read.exit_code == 0, read.stderr
    printed = read.stdout_bytes.decode(encoding)
    assert "Result quality ^" in printed
    assert "[red]a[/blue]\\x1b[2J" in printed
    assert "\x1b" not in printed


def test_pipes_and_empty_names_are_refused_at_once(run: Run, pictures: Path) -> None:
    made = ("study", "make", "ours", "theirs", "--hints", "hints")
    assert run(*made).exit_code == 0
    os.mkfifo(pictures / "pipe")
    for asked in (
        ("study", "make", "pipe", "theirs", "--hints", "hints"),
        ("study", "make", "ours", "", "--hints", "hints"),
        (*made[:4], "--hints", ""),
        (*made, "--prompts", "pipe"),
        (*made, "--prompts", ""),
        (*made, "--out", ""),
        ("study", "read", "", "hints"),
        ("study", "read", "output/study", "pipe"),
        ("study", "read", "output/study", ""),
    ):
        result = run(*asked)
        assert result.exit_code == 2
        assert "is no regular file, but a pipe" in result.stderr or "empty" in result.stderr


def test_where_results_go_is_looked_at_first(run: Run, pictures: Path) -> None:
    (pictures / "file").write_text("")
    made = ("study", "make", "ours", "theirs", "--hints", "hints", "--out", "file/deeper")
    assert "file is no folder" in run(*made).stderr
    assert run(*made[:-2]).exit_code == 0
    (pictures / "output/study/result.json").write_text("mine")
    ranks = write_ranks(pictures, "ann", "ours")
    refused = run("study", "read", "output/study", ranks)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "result.json is there already and was not made by ControlStack" in refused.stderr
    assert run("study", "read", "output/study", ranks, "--overwrite").exit_code == 0
