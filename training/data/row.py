"""A row of the data: where its picture, hint and caption are. Opens no picture."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...ground.errors import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
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

    def stamp(self) -> str:
        """What changes when it does; what was computed of it is cached under this."""
        ...


@dataclass(frozen=True)
class File:
    """A file on the disk."""

    name: Path

    @property
    def is_pose(self) -> bool:
        """See `Stored.is_pose`."""
        return self.name.suffix.lower() == POSES

    def content(self) -> bytes | None:
        """See `Stored.content`."""
        return None

    def stamp(self) -> str:
        """Its place, size and time of change."""
        state = self.name.stat()
        return f"{self.name.resolve()} {state.st_size} {state.st_mtime_ns}"


@dataclass(frozen=True)
class Cell:
    """A picture, or the text of a pose, in a data set of the library `datasets`.

    `table` has that column alone, and its pictures are not decoded.
    """

    table: Any
    row: int
    column: str
    label: str

    @property
    def name(self) -> Path:
        """The data set with the number of the row, from 1, and the column."""
        return Path(f"{self.label}, row {self.row + 1}, {self.column}")

    @property
    def is_pose(self) -> bool:
        """Whether its column holds text."""
        return bool(self.table.features[self.column].dtype == "string")

    def content(self) -> bytes | None:
        """See `Stored.content`. Raises UserError for a cell that holds neither picture nor text."""
        value = self.table[self.row][self.column]
        if isinstance(value, Mapping):
            value = value.get("bytes") or _file(value.get("path"))
        if isinstance(value, str):
            return value.encode()
        if not isinstance(value, bytes):
            raise UserError(f"{self.name} holds no picture.")
        return value

    def stamp(self) -> str:
        """The data set's fingerprint and the place in it."""
        return f"{self.table._fingerprint} {self.row} {self.column}"


@dataclass(frozen=True)
class Row:
    """One thing to learn from. `where` says in a few words where it is told of ("prompt.json, line
    3"); `hint` is None where hints are made of the pictures.
    """

    where: str
    picture: Stored
    hint: Stored | None
    caption: str


@dataclass(frozen=True)
class Bad:
    """A row that cannot be used, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"

    @property
    def place(self) -> list[tuple[int, str]]:
        """What sorts bad rows as a person would: line 2 before line 10."""
        parts = re.split(r"(\d+)", self.where)
        return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


@dataclass(frozen=True)
class Rows:
    """The rows of a layout, in the order of its files, and those that cannot be used.

    `place` names the data in messages.
    """

    layout: str
    place: str
    good: tuple[Row, ...]
    bad: tuple[Bad, ...]

    def first(self, count: int) -> Rows:
        """The first `count` rows that can be used; all for 0."""
        return Rows(self.layout, self.place, self.good[:count], self.bad) if count else self


def _file(path: object) -> bytes | None:
    return Path(path).read_bytes() if isinstance(path, (str, os.PathLike)) else None
