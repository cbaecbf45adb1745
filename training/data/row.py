"""A row of the data: where its picture, hint and caption are. Opens no picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ...ground.errors import UserError
from ...ground.inputs import IMAGE_SUFFIXES
from ...ground.reading import read_bytes, require_regular
from ...ground.wording import one_line
from .file_names import Inside

PICTURES = tuple(sorted(IMAGE_SUFFIXES))
POSES = ".json"
"""The ending of a hint that is an OpenPose JSON."""


class Stored(Protocol):
    """A picture, or a pose's JSON, wherever it is kept. Can be sent to another process."""

    @property
    def name(self) -> Path:
        """What a person calls it; where `content` is None, the file."""
        ...

    @property
    def is_pose(self) -> bool:
        """Whether it is an OpenPose JSON, which still has to be drawn."""
        ...

    def content(self) -> bytes | None:
        """Its bytes, or None for a file that is read by its `name`."""
        ...

    def beginning(self) -> bytes | BinaryIO | None:
        """As `content`, for who reads its first bytes alone."""
        ...

    def stamp(self) -> str:
        """What changes when it does; what was computed of it is cached under this."""
        ...


@dataclass(frozen=True)
class File:
    """A file on the disk."""

    name: Path

    @property
    def is_pose(self) -> bool:
        return self.name.suffix.lower() == POSES

    def content(self) -> bytes | None:
        require_regular(self.name, "the file")  # no more a pipe than when it was listed
        return None

    beginning = content

    def stamp(self) -> str:
        state = self.name.stat()
        return f"{self.name.resolve()} {state.st_size} {state.st_mtime_ns}"


@dataclass(frozen=True)
class Cell:
    """A picture, or the text of a pose, in a data set of the library `datasets`.

    `table` has that column alone, and its pictures are not decoded; `files` are those that a cell
    may name instead of holding them.
    """

    table: Any
    row: int
    column: str
    label: str
    files: Inside

    @property
    def name(self) -> Path:
        return Path(f"{self.label}, row {self.row + 1}, {self.column}")

    @property
    def is_pose(self) -> bool:
        return bool(getattr(self.table.features[self.column], "dtype", None) == "string")

    def content(self) -> bytes | None:
        """Raises UserError for a cell that holds neither picture nor text."""
        try:
            value = self.table[self.row][self.column]
        except Exception as error:  # pyarrow's, for a damaged table
            raise UserError(f"{self.name} cannot be read: {first_line(error)}") from error
        if isinstance(value, Mapping):
            path = value.get("path")
            value = value.get("bytes")
            if not value and isinstance(path, str):
                what = f"{self.name}: the file"
                return read_bytes(self.files.file(path, what), what)
        if isinstance(value, str):
            return value.encode()
        if not isinstance(value, bytes):
            raise UserError(f"{self.name} holds no picture.")
        return value

    beginning = content

    def stamp(self) -> str:
        return f"{self.table._fingerprint} {self.row} {self.column}"


@dataclass(frozen=True)
class Row:
    """One thing to learn from. `where` says in a few words where it is told of ("prompt.json, line
    3"); `hint` is None where hints are made of the pictures. Of several `captions`, one is drawn
    anew at each step.
    """

    where: str
    picture: Stored
    hint: Stored | None
    captions: tuple[str, ...]

    @property
    def caption(self) -> str:
        """The first caption, where one has to stand for all."""
        return self.captions[0]


@dataclass(frozen=True)
class Bad:
    """A row that cannot be used, and why."""

    where: str
    why: str

    @classmethod
    def of(cls, where: str, error: UserError | OSError) -> Bad:
        """The row told of by `where`, for what was raised when it was read."""
        why = error.sentence if isinstance(error, UserError) else str(error)
        return cls(where, why.removesuffix("."))

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"

    @property
    def place(self) -> list[tuple[int, str]]:
        """What sorts bad rows as a person would: line 2 before line 10."""
        parts = re.split(r"(\d+)", self.where)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


@dataclass(frozen=True)
class Rows:
    """The rows of a layout, in the order of its files, and those that cannot be used.

    `place` names the data in messages; `split` is the one it was taken from, if there are several.
    `left_out` says which pictures of a folder are no rows, if there are such.
    """

    layout: str
    place: str
    good: tuple[Row, ...]
    bad: tuple[Bad, ...]
    split: str = ""
    left_out: str = ""

    @classmethod
    def of(cls, layout: str, place: str, made: Iterable[Row | Bad], split: str = "") -> Rows:
        """Those that were `made`, the good ones and the bad ones."""
        every = tuple(made)
        good = tuple(one for one in every if isinstance(one, Row))
        return cls(layout, place, good, tuple(one for one in every if isinstance(one, Bad)), split)

    def first(self, count: int) -> Rows:
        """The first `count` rows that can be used; all for 0."""
        return replace(self, good=self.good[:count]) if count else self


def first_line(error: Exception) -> str:
    """What a library's error says, short and on one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return one_line(lines[0][:300]).rstrip(".")
