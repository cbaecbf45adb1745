"""Only regular files of a bounded size are read, and whatever they hold is text or one sentence."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.ground.reading import read_bytes, read_text, require_regular


@pytest.fixture(params=["pipe", "folder", "device", "socket", "missing", "loop"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "it"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        path = Path("/dev/zero")
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif request.param == "loop":
        path.symlink_to(path)
    return path


def test_special_files_are_refused_at_once(special: Path) -> None:
    for refuse in (read_bytes, read_text, require_regular):
        with pytest.raises(UserError, match="the table"):
            refuse(special, "the table")


def test_a_pipe_that_a_person_named(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"x" * 100_000,))
    writer.start()
    assert read_bytes(pipe, "the workflow", pipes=True) == b"x" * 100_000
    writer.join()


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, "it", limit=10) == b"x" * 10
    with pytest.raises(UserError, match="larger than"):
        read_bytes(path, "it", limit=9)
    with pytest.raises(UserError, match="larger than"):
        read_bytes(Path("/dev/zero"), "it", limit=9, pipes=True)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("\ufeffé".encode())
    assert read_text(path, "it") == "é"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(UserError, match="no text in UTF-8"):
        read_text(path, "it")


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    require_regular(tmp_path / "link", "it")
    assert read_text(tmp_path / "link", "it") == "x"
