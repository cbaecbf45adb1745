"""What is in a tar file and where: made once by going through its headers, and kept in a file.

A member is then read by its place, so that a tar file is as good as a folder: in any order, by
several processes, with nothing unpacked.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from ...ground.atomic import write_atomic
from ...ground.errors import UserError
from ...ground.log import log
from ...ground.names import inner_name
from ...ground.reading import read_text, require_regular
from ...ground.structured import is_text, read_json
from ...ground.wording import first_line, shown, size_in_words
from .row import POSES

FORMAT = 1
"""Of an index file; another one is made anew."""
KEPT = ".index"
"""What the name of an index ends with that lies beside its tar file."""
LARGEST = 2 << 30
"""Bytes of a member that is read whole: `picture_files.MAX_FILE`, above any picture."""
AHEAD = 1 << 14
"""Bytes that are read at once of a picture's header."""
BLOCK = 512
"""Bytes: tar's unit (POSIX.1-1988, ustar). Two of zeros end an archive."""

COPY = "copy or make it again (the rows before are whole)"

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of compressed files: RFC 1952, bzip2's manual, the .xz format 1.2, RFC 8878."""

Entry: TypeAlias = tuple[str, int, int, str]
"""A member's name, the place and the size of what it holds, in bytes, and why it is not read (or
nothing)."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar file as it was when its index was read: `size` in bytes, `changed` in nanoseconds."""

    path: Path
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Shard:
        """The file at `path`. Raises UserError for what is no regular file."""
        require_regular(path, "the shard")
        state = path.stat()
        return cls(path, state.st_size, state.st_mtime_ns)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on. Raises UserError where the file is not what it was."""
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                if (state.st_size, state.st_mtime_ns) != (self.size, self.changed):
                    raise UserError(f"the shard {self.path} changed while it was used; start again")
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise UserError(f"cannot read the shard {self.path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar file: a `row.Stored`."""

    shard: Shard
    inner: str
    offset: int
    size: int

    @property
    def name(self) -> Path:
        return self.shard.path / self.inner

    @property
    def is_pose(self) -> bool:
        return self.inner.lower().endswith(POSES)

    def content(self) -> bytes:
        """Raises UserError where the tar file is not what it was when it was listed."""
        if self.size > LARGEST:
            raise UserError(
                f"{self.name} has {size_in_words(self.size)}, more than the "
                f"{size_in_words(LARGEST)} that are read"
            )
        return self.shard.read(self.offset, self.size)

    def beginning(self) -> BinaryIO:
        # mypy's io.BufferedReader is no BinaryIO, and is one.
        return cast(BinaryIO, io.BufferedReader(_Window(self), AHEAD))

    def stamp(self) -> str:
        shard = self.shard
        return f"{shard.path.resolve()} {shard.size} {shard.changed} {self.inner} {self.offset}"


class _Window(io.RawIOBase):
    """A member as a file, for readers that need its beginning alone; holds nothing open."""

    def __init__(self, member: Member) -> None:
        self._member, self._at = member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        member = self._member
        size = min(len(buffer), max(0, member.size - self._at))
        buffer[:size] = member.shard.read(member.offset + self._at, size)
        self._at += size
        return size


@dataclass(frozen=True)
class Index:
    """The members of a tar file in their order, and what is wrong with its end (or nothing)."""

    shard: Shard
    entries: tuple[Entry, ...]
    end: str = ""


def index_of(path: Path, kept_in: Path | None = None) -> Index:
    """The index of the tar file at `path`: read from where it is kept, or made and kept there,
    which is beside it or in the folder `kept_in`.

    Where it cannot be kept it is made each time, and the log says so. Raises UserError for what is
    no tar file, and for a compressed one.
    """
    shard = Shard.of(path)
    place = path.with_name(path.name + KEPT) if kept_in is None else kept_in
    try:
        return _read(place, shard)
    except (UserError, ValueError, TypeError, KeyError):  # none, another one, or a damaged one
        made = _made(shard)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, _written(made))
    except (UserError, OSError) as error:
        log.warning("The index of %s is not kept, and is made each time: %s", path, error)
    return made


def _written(index: Index) -> bytes:
    shard = index.shard
    told = {"format": FORMAT, "size": shard.size, "changed": shard.changed, "end": index.end}
    return json.dumps({**told, "members": index.entries}, separators=(",", ":")).encode()


def _read(place: Path, shard: Shard) -> Index:
    """A kept index. Raises one of several errors for what is none of this shard."""
    told: Any = read_json(read_text(place, "the index"), str(place), "index")
    state = (told["format"], told["size"], told["changed"])
    if state != (FORMAT, shard.size, shard.changed) or not isinstance(told["end"], str):
        raise ValueError("it is another file's")
    entries = []
    for name, offset, size, why in told["members"]:
        texts = isinstance(name, str) and isinstance(why, str)
        if not (texts and type(offset) is int and type(size) is int):
            raise TypeError("it is no index")
        if min(offset, size) < 0 or offset + size > shard.size:
            raise ValueError("it leads out of its file")
        entries.append((name, offset, size, why))
    return Index(shard, tuple(entries), told["end"])


def _made(shard: Shard) -> Index:
    entries: list[Entry] = []
    with shard.path.open("rb") as file:
        head = file.read(BLOCK)
        packed = next((name for start, name in COMPRESSED.items() if head.startswith(start)), None)
        if packed is not None:
            raise compressed(shard.path, packed)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                tar.offset = 0
                end = _listed(tar, file, shard, entries)
        except (tarfile.TarError, OverflowError, ValueError) as error:
            raise UserError(f"{shard.path} is no tar file: {first_line(error)}") from error
    return Index(shard, tuple(entries), end)


def _listed(tar: tarfile.TarFile, file: BinaryIO, shard: Shard, entries: list[Entry]) -> str:
    """Put all members that are whole into `entries`; what is wrong behind them, or nothing.

    Not `tar.next`: it ends at a damaged header as at the right end, and keeps every member.
    """
    while True:
        start = tar.offset
        file.seek(start)
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            return f"it is cut off at byte {shard.size}, before its end mark; {COPY}"
        if not any(block):
            return ""
        file.seek(start)
        try:
            info = tarfile.TarInfo.fromtarfile(tar)
        except (tarfile.TarError, OverflowError, ValueError):
            return f"what stands at byte {start} is no tar header, and all behind is unread; {COPY}"
        if tar.offset <= start or info.size < 0:
            return f"the header at byte {start} holds impossible numbers; {COPY}"
        if not info.issparse() and info.offset_data + info.size > shard.size:
            return f"it is cut off at byte {shard.size}, inside {shown(info.name)}; {COPY}"
        if not info.isdir():
            entries.append(_entry(info))


def compressed(path: Path, how: str) -> UserError:
    """What is said of a compressed tar file."""
    return UserError(
        f"{path} is compressed ({how}), so that its files cannot be read in any order; unpack it "
        "to a plain .tar (pictures are compressed in themselves)."
    )


def _entry(info: tarfile.TarInfo) -> Entry:
    name, why = info.name, ""
    if not is_text(name):
        name, why = shown(name), "its name is no UTF-8"
    elif info.issym() or info.islnk():
        why = (
            f"it is a link to {shown(info.linkname)}, and only files are read; pack what it leads "
            "to (GNU tar: --dereference --hard-dereference)"
        )
    elif not info.isreg():
        why = "it is a device or a pipe, and only files are read"
    elif info.issparse():
        why = "it is packed with holes left out; pack it without --sparse"
    else:
        try:
            name = str(inner_name(name, "the name", "the tar file"))
        except UserError as error:
            why = error.sentence
    return name, 0 if why else info.offset_data, 0 if why else info.size, why
