"""The templates' pictures in ComfyUI's input folder."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from controlstack.nodes.own_pictures import lend
from tests.workflows.names import WORKFLOWS

PACK = WORKFLOWS.parent
NAMES = sorted(path.name for path in (WORKFLOWS / "input").glob("*.png"))


def host_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ComfyUI with that input folder."""
    told = SimpleNamespace(get_input_directory=lambda: str(folder))
    monkeypatch.setitem(sys.modules, "folder_paths", told)


def test_they_are_put_where_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_with(tmp_path / "input", monkeypatch)
    lend(PACK)
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == NAMES
    assert all(name.startswith("controlstack_") for name in NAMES)
    first = tmp_path / "input" / NAMES[0]
    assert first.read_bytes() == (WORKFLOWS / "input" / NAMES[0]).read_bytes()


def test_what_is_there_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAMES[0]).write_text("the user's")
    host_with(tmp_path, monkeypatch)
    lend(PACK)
    assert (tmp_path / NAMES[0]).read_text() == "the user's"


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    host_with(tmp_path / "file" / "input", monkeypatch)
    lend(PACK)


def test_without_comfyui_nothing_is_put_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "folder_paths", raising=False)
    lend(PACK)
