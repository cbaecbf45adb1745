"""`controlstack hint --ray`, `evaluate --ray`: the files of one process, and its sentences."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.prompts import WORKFLOWS, Run

INPUT = WORKFLOWS / "input"


@pytest.mark.slow
def test_two_processes_make_the_hints_of_one(run: Run, folder: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray (the extra cluster)")
    (folder / "in").mkdir()
    for number in range(6):
        source = ("controlstack_scene.png", "controlstack_person.png")[number % 2]
        shutil.copy(INPUT / source, folder / "in" / f"{number}.png")
    (folder / "in" / "broken.png").write_bytes(b"no picture")
    alone = run("hint", "canny", "in", "--out", "a")
    both = run("hint", "canny", "in", "--ray", "--actors", "2", "--out", "b")
    assert (alone.exit_code, both.exit_code) == (2, 2), both.stderr
    assert both.stdout == alone.stdout.replace("a/", "b/")
    assert "broken.png cannot be read as a picture" in both.stderr
    assert both.stderr == alone.stderr
    names = sorted(path.name for path in (folder / "a").iterdir())
    assert len(names) == 6
    for name in names:
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("held_to", ["--hints", "--originals"])
def test_two_processes_make_the_report_of_one(run: Run, folder: Path, held_to: str) -> None:
    """Two groups; one picture is missing, one is none, and one hint is none."""
    pytest.importorskip("ray", reason="needs Ray (the extra cluster)")
    for group in ("first", "second", "originals"):
        (folder / group).mkdir()
        for number in range(5):
            source = ("controlstack_scene.png", "controlstack_person.png")[number % 2]
            shutil.copy(INPUT / source, folder / group / f"{number}.png")
    (folder / "second" / "2.png").unlink()
    (folder / "second" / "3.png").write_bytes(b"no picture")
    assert run("hint", "canny", "originals", "--out", "hints").exit_code == 0
    given = "hints" if held_to == "--hints" else "originals"
    (folder / given / ("4_canny.png" if given == "hints" else "4.png")).write_bytes(b"no hint")
    asked = ("evaluate", "first", "second", held_to, given, "--preprocessor", "canny")
    alone = run(*asked, "--out", "a")
    both = run(*asked, "--out", "b", "--ray", "--actors", "2")
    assert (alone.exit_code, both.exit_code) == (2, 2), both.stderr
    assert both.stderr == alone.stderr
    assert alone.stderr.count("cannot be read as a picture") == 2
    assert both.stdout == alone.stdout.replace("a/", "b/")
    for name in ("report.json", "report.html"):
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto"])
def test_evaluate_without_an_answer_writes_nothing(run: Run, folder: Path, address: str) -> None:
    shutil.copy(INPUT / "controlstack_scene.png", folder / "a.png")
    asked = ("evaluate", "a.png", "--originals", "a.png", "--preprocessor", "canny", "--out", "e")
    result = run(*asked, "--ray", address)
    assert result.exit_code == 2
    assert result.stderr.count("Error: ") == 1
    assert not (folder / "e").exists()


def test_nobody_answers_and_nothing_is_written(run: Run, folder: Path) -> None:
    result = run("hint", "canny", INPUT, "--ray", "127.0.0.1:1", "--out", "b")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert not list(folder.iterdir())
