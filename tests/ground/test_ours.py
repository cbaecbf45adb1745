"""Files in the way: inputs under any name, what others made, and what came meanwhile."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from controlstack.ground.atomic import write_atomic
from controlstack.ground.errors import UserError
from controlstack.ground.ours import MARKED, Results, made_here

OURS = json.dumps(MARKED | {"a": 1}).encode()


def test_what_is_ours_is_replaced_and_told(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for expected in ([], [path]):
        results = Results([])
        results.expect(path)
        results.write(path, OURS)
        assert results.replaced == expected
        assert made_here(path)


def test_a_foreign_file_needs_a_word(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("somebody's")
    with pytest.raises(UserError, match=r"r\.json is there already and was not made .*--overwrite"):
        Results([]).expect(path)
    Results([], overwrite=True).write(path, OURS)
    assert path.read_bytes() == OURS


@pytest.mark.parametrize("kind", ["same", "hard link", "link", "folder", "dots", "case"])
def test_no_input_is_written_over_by_any_name(tmp_path: Path, kind: str) -> None:
    photo, folder = tmp_path / "in" / "photo.png", tmp_path / "linked"
    photo.parent.mkdir()
    photo.write_bytes(b"a photo")
    folder.symlink_to(photo.parent, target_is_directory=True)
    (hard := tmp_path / "hard.png").hardlink_to(photo)
    (link := tmp_path / "link.png").symlink_to(photo)
    other = photo.with_name("PHOTO.png")
    if not other.exists():  # a disk that tells capitals apart
        other = photo
    names = {
        "same": photo, "hard link": hard, "link": link, "folder": folder / "photo.png",
        "dots": photo.parent / ".." / "in" / "photo.png", "case": other,
    }  # fmt: skip
    with pytest.raises(UserError, match="is an input of this command"):
        Results([photo], overwrite=True).write(names[kind], OURS)
    assert photo.read_bytes() == b"a photo"


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    results = Results([])
    results.expect(path := tmp_path / "new" / "dir" / "r.json")
    assert not path.parent.parent.exists()  # not before there is something to write
    results.write(path, OURS)
    assert path.read_bytes() == OURS


def test_a_dangling_link_and_a_folder_are_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is a link to nowhere"):
        Results([]).expect(tmp_path / "link")
    with pytest.raises(UserError, match="is a folder"):
        Results([], overwrite=True).expect(tmp_path)
    with pytest.raises(UserError, match="cannot be written: File name too long"):
        Results([]).expect(tmp_path / ("n" * 300))


@pytest.mark.parametrize("before", [None, OURS])
def test_of_two_writers_one_is_told(tmp_path: Path, before: bytes | None) -> None:
    """Both looked before either wrote."""
    path = tmp_path / "r.json"
    if before is not None:
        path.write_bytes(before)
    one, other = Results([]), Results([])
    one.expect(path)
    other.expect(path)
    one.write(path, OURS + b"1")
    with pytest.raises(UserError, match="by another process meanwhile"):
        other.write(path, OURS + b"2")
    assert path.read_bytes() == OURS + b"1"


def test_a_pipe_in_the_way_stays_a_pipe(tmp_path: Path) -> None:
    """Whatever the user says: to replace it would take it away, as it would a device."""
    pipe = tmp_path / "r.png"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="is a pipe; name a file"):
        Results([], overwrite=True).expect(pipe)
    with pytest.raises(UserError, match="is no regular file"):
        write_atomic(pipe, b"x")
    assert pipe.is_fifo()
