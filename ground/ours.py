"""Files that a command writes: what is in their way, and what somebody put there meanwhile.

Inputs are never written over. What we once wrote is replaced, so that a command can be given again;
it carries a mark. What somebody else made is replaced only where the user says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from .atomic import make_folder, write_atomic, write_free
from .errors import UserError
from .places import identity, require_place

SOFTWARE = "ControlStack"
"""What our files say they were made by: PNG's text chunk Software, JSON's key, HTML's generator."""
MARKED: dict[str, str] = {"software": SOFTWARE}
"""What a JSON object of ours begins with."""
_MARKS = (
    f"tEXtSoftware\0{SOFTWARE}".encode(),
    f'"software": "{SOFTWARE}"'.encode(),
    f'<meta name="generator" content="{SOFTWARE}">'.encode(),
)
_HEAD = 1024
"""Bytes in which the mark stands: at the beginning of every file of ours."""

_State: TypeAlias = tuple[int, int, int, int]


class Results:
    """The files that one command writes; `inputs` are those that it reads.

    `overwrite` is the user's word that a file in the way may be replaced, whoever made it.
    """

    def __init__(self, inputs: Iterable[Path], overwrite: bool = False) -> None:
        self._inputs = {identity(path) for path in inputs}
        self._overwrite = overwrite
        self._seen: dict[Path, _State | None] = {}
        self.replaced: list[Path] = []
        """Files that were there before and were written anew, in their order."""

    def expect(self, path: Path) -> None:
        """Look at `path` before the work begins, and remember what is there; the first look counts.

        Raises UserError for a place that cannot be written (`require_place`), for an input under
        whatever name and, unless they may be replaced, for files that we did not make.
        """
        if path in self._seen:
            return
        require_place(path, "the result")
        state = _state(path)
        if identity(path) in self._inputs:
            raise UserError(
                f"{path} is an input of this command, and no input is written over; name another "
                "place with --out"
            )
        if state is not None and not self._overwrite and not made_here(path):
            raise UserError(
                f"{path} is there already and was not made by ControlStack; name another place "
                "with --out, or say --overwrite to replace it"
            )
        self._seen[path] = state

    def write(self, path: Path, data: bytes) -> None:
        """Write `data` to `path` whole or not at all; a folder that is missing is made.

        Raises UserError as `expect` does, and where another process wrote there since.
        """
        self.expect(path)
        now = _state(path)
        if now is None:
            make_folder(path.parent)
            write_free([path], data)
        elif now == self._seen[path]:
            write_atomic(path, data)
            self.replaced.append(path)
        else:
            raise UserError(f"{path} was written by another process meanwhile, and stays")
        self._seen[path] = _state(path)


def expecting(places: Sequence[Path], inputs: Iterable[Path], overwrite: bool) -> Results:
    """Results that go to `places`, files of one folder, each looked at (`Results.expect`)."""
    require_place(places[0].parent, "the folder", folder=True)
    results = Results(inputs, overwrite)
    for place in places:
        results.expect(place)
    return results


def made_here(path: Path) -> bool:
    """Whether the file `path` says that we made it."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return any(mark in head for mark in _MARKS)


def _state(path: Path) -> _State | None:
    """What changes where a file is written anew; None where none is. Of a link, its own."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
