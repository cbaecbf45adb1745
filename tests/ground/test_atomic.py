"""Files are whole or not there, and of many writers each gets a name of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from controlstack.ground import atomic
from controlstack.ground.atomic import new_folder, write_atomic, write_free
from controlstack.ground.errors import UserError

WRITER = """
import sys
from itertools import count
from pathlib import Path
from controlstack.ground.atomic import write_free
folder, me = Path(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    print(write_free((folder / f"a_{n}.txt" for n in count(1)), me * 1000), flush=True)
"""


def numbered(folder: Path) -> Iterator[Path]:
    return (folder / f"a_{number}.txt" for number in count(1))


def test_parallel_writers_get_a_name_each(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), letter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in "abcd"
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:  # all at once
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = {
        letter: one.communicate()[0].split() for letter, one in zip("abcd", started, strict=True)
    }
    every = [name for names in told.values() for name in names]
    assert len(set(every)) == len(every) == 80
    for letter, names in told.items():
        assert all(Path(name).read_text() == letter * 1000 for name in names)
    assert len(list(tmp_path.iterdir())) == 80  # and nothing half written


def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    written = [write_free(numbered(tmp_path), bytes([number])) for number in range(3)]
    assert [path.name for path in written] == ["a_1.txt", "a_2.txt", "a_3.txt"]
    assert [path.read_bytes() for path in written] == [b"\0", b"\1", b"\2"]
    assert len(list(tmp_path.iterdir())) == 3


def test_no_free_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        write_free([tmp_path / "a"], b"yours")
    assert (tmp_path / "a").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("write", [write_atomic, lambda path, data: write_free([path], data)])
def test_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    """As on a full disk, or Ctrl-C in the middle."""
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def stop(self: Path, data: bytes, error: BaseException = error) -> int:
            with self.open("wb") as file:
                file.write(data[:1])
            raise error

        monkeypatch.setattr(Path, "write_bytes", stop)
        with pytest.raises((UserError, KeyboardInterrupt)):
            write(tmp_path / "a", b"whole")  # type: ignore[operator]
        assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_atomic(path, b"1")
    assert path.read_bytes() == b"1"
    assert write_free([path, tmp_path / ("m" * 255)], b"2").name == "m" * 255


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with new_folder(tmp_path / "made") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "made").exists()
    assert (tmp_path / "made" / "file").read_text() == "x"
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "other") as folder:
        (folder / "file").write_text(str(1 / 0))
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("kind", ["empty", "full", "file", "link"])
def test_a_folder_that_is_there_stays(tmp_path: Path, when: str, kind: str) -> None:
    place = tmp_path / "place"

    def appear() -> None:
        if kind == "file":
            place.write_text("mine")
        elif kind == "link":
            place.symlink_to(tmp_path / "nowhere")
        else:
            place.mkdir()
            if kind == "full":
                (place / "mine").write_text("mine")

    if when == "before":
        appear()
    with pytest.raises(UserError, match="is there already"), new_folder(place):
        appear()
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    inside = [path.name for path in place.glob("*")]
    assert inside == (["mine"] if kind == "full" else [])


def test_what_a_name_leaves_beside_it_is_hidden(tmp_path: Path) -> None:
    assert atomic._part(tmp_path / "a").name.startswith(".")


def test_a_finished_folder_gets_the_first_free_name(tmp_path: Path) -> None:
    names = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    names[0].write_text("mine")
    names[1].mkdir()
    for expected in ("c", None):
        with atomic.beside(names[0]) as part:
            part.mkdir()
            (part / "file").write_text("x")
            if expected is None:
                with pytest.raises(UserError, match="is there already"):
                    atomic.take(part, names)
            else:
                assert atomic.take(part, names).name == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert not [*names[1].iterdir()]


def test_an_empty_folder_stays_where_the_work_fails(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "mine", empty=True) as folder:
        (folder / "file").write_text(str(1 / 0))
    assert list((tmp_path / "mine").iterdir()) == []
    with new_folder(tmp_path / "mine", empty=True) as folder:
        (folder / "file").write_text("x")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]
