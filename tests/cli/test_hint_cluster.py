"""`controlstack hint --ray`: the files that one process makes, and its sentences."""

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
    names = sorted(path.name for path in (folder / "a").iterdir())
    assert len(names) == 6
    for name in names:
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()


def test_nobody_answers_and_nothing_is_written(run: Run, folder: Path) -> None:
    result = run("hint", "canny", INPUT, "--ray", "127.0.0.1:1", "--out", "b")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert not list(folder.iterdir())
