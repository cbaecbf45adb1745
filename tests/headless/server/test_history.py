"""The history in its file: what a killed process, a full disk and a person leave of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlstack.headless.server import history
from controlstack.headless.server.history import History


def filled(file: Path, count: int = 3) -> History:
    """A history of a few jobs."""
    made = History(file)
    for number in range(count):
        made.add(f"job {number}", {"id": f"job {number}"}, json.dumps({"outputs": {"1": number}}))
    return made


def ids(file: Path) -> list[str]:
    """What a server finds that starts with the file."""
    return [past.id for past in History(file).all()]


def test_it_is_there_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path / "h")

    found = History(tmp_path / "h").get("job 1")

    assert found is not None
    assert json.loads(found.told) == {"outputs": {"1": 1}}
    assert found.summary == {"id": "job 1"}


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    file = tmp_path / "h"
    filled(file)
    whole = file.read_bytes()

    for cut in range(1, 60):
        file.write_bytes(whole[:-cut])
        assert ids(file) == ["job 0", "job 1"]
        History(file).add("job 9", {}, "{}")
        assert ids(file) == ["job 0", "job 1", "job 9"]


def test_other_bytes_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "h"
    filled(file)
    file.write_bytes(b"\xff\x00\tx\n\n{}\t{}\n" + file.read_bytes() + b"\x00" * 100)
    assert ids(file) == ["job 0", "job 1", "job 2"]


def test_what_is_forgotten_stays_so(tmp_path: Path) -> None:
    made = filled(tmp_path / "h")
    made.forget(["job 1", "never"])
    assert ids(tmp_path / "h") == ["job 0", "job 2"]
    made.clear()
    assert ids(tmp_path / "h") == []


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST", 2)
    filled(tmp_path / "h")
    assert ids(tmp_path / "h") == ["job 1", "job 2"]


def test_a_place_that_cannot_be_written_loses_nothing_in_memory(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()  # a folder in the file's place
    made = filled(tmp_path / "h")
    assert [past.id for past in made.all()] == ["job 0", "job 1", "job 2"]


def test_it_is_paged_as_in_comfyui(tmp_path: Path) -> None:
    made = filled(tmp_path / "h", 5)

    def page(most: int | None, offset: int) -> list[str]:
        return [past.id[-1] for past in made.page(most, offset)]

    assert page(None, -1) == ["0", "1", "2", "3", "4"]
    assert page(2, -1) == ["3", "4"]
    assert page(2, 0) == ["0", "1"]
    assert page(None, 3) == ["3", "4"]
    assert page(9, -1) == ["0", "1", "2", "3", "4"]
    assert page(0, 0) == []
