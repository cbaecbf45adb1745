"""Where a result goes is looked at without leaving a trace; one file has one identity."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.ground.places import identity, require_place


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["new", "file", "deep/er/new", "n" * 255])
def test_files_that_can_be_written(crowded: Path, name: str) -> None:
    before = sorted(crowded.rglob("*"))
    require_place(crowded / name, "the report")
    assert sorted(crowded.rglob("*")) == before
    assert (crowded / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["new", "folder", "deep/er"])
def test_folders_that_can_be_written(crowded: Path, name: str) -> None:
    before = sorted(crowded.rglob("*"))
    require_place(crowded / name, "--out", folder=True)
    assert sorted(crowded.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "folder", "said"),
    [
        ("folder", False, "is a folder; name a file"),
        ("file", True, "is a file; name a folder"),
        ("file/below", False, "file is no folder"),
        ("file/below/it", True, "file is no folder"),
        ("n" * 256, False, "too long"),
        ("n" * 256 + "/below", True, "too long"),
        ("deep/" + "n" * 256, False, "too long"),
        ("/proc/new", False, "cannot be written"),
        ("/proc/new/er", True, "cannot be written"),
        ("nul\0", False, "null"),
    ],
)
def test_places_that_cannot(crowded: Path, name: str, folder: bool, said: str) -> None:
    if name.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("this system has no folder that nobody can write to")
    with pytest.raises(UserError, match=r"^the result ") as raised:
        require_place(crowded / name, "the result", folder)
    assert said in str(raised.value)


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "file")
    with pytest.raises(UserError, match="is a link to nowhere; remove it"):
        require_place(tmp_path / "link", "the report")


def test_one_file_has_one_identity(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"x")
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "soft.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    same = [
        tmp_path / "linked" / "photo.png",
        tmp_path / "soft.png",
        tmp_path / "hard.png",
        tmp_path / "linked" / ".." / tmp_path.name / "photo.png",
        Path(os.path.relpath(photo)),
    ]
    assert {identity(path) for path in same} == {identity(photo)}
    assert identity(tmp_path / "other.png") != identity(photo)


def test_files_that_are_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    assert identity(tmp_path / "new.png") == identity(tmp_path / "linked" / "New.png")
    assert identity(tmp_path / "new.png") != identity(tmp_path / "newer.png")
