"""Bytes and text of files that somebody else may have written.

A pipe or a device would hang a reader, or feed it for ever; a file may be of any size and no text.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import UserError
from .wording import size_in_words

MAX_BYTES = 256 << 20
"""The largest text that is read, in bytes: far above any real one, and it fits into memory."""


def read_bytes(path: Path, what: str, limit: int = MAX_BYTES, pipes: bool = False) -> bytes:
    """What the file holds, at most `limit` bytes; errors call it `what` ("the workflow").

    Only regular files are read. `pipes` takes pipes and terminals, too, for a file that a person
    named; they can be read only once. Raises UserError, also where the file is larger.
    """
    # Without O_NONBLOCK, to open a pipe would wait for its writer.
    wait = 0 if pipes else getattr(os, "O_NONBLOCK", 0)
    try:
        entry = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | wait)
        with os.fdopen(entry, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not (stat.S_ISREG(mode) or (pipes and not stat.S_ISBLK(mode))):
                raise _special(path, what, mode)
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read {what} {path}: {reason}") from error
    if len(data) > limit:
        raise UserError(
            f"{what} {path} is larger than {size_in_words(limit)}, the most that is read"
        )
    return data


def read_text(path: Path, what: str, limit: int = MAX_BYTES, pipes: bool = False) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; `pipes` as in `read_bytes`.

    Raises UserError, which calls it `what`, as `read_bytes` does and where it is no such text.
    """
    try:
        return read_bytes(path, what, limit, pipes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{what} {path} is no text in UTF-8; save it as such") from None


def require_regular(path: Path, what: str, called: object = None) -> None:
    """Raise UserError unless `path` is a regular file, or leads to one: for libraries that open
    files by name. Errors name it as it is `called`, if that is not its path.
    """
    name = path if called is None else called
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read {what} {name}: {reason}") from error
    if not stat.S_ISREG(mode):
        raise _special(name, what, mode)


def _special(name: object, what: str, mode: int) -> UserError:
    return UserError(f"{what} {name} is no regular file, but {kind_in_words(mode)}; name a file")


def kind_in_words(mode: int) -> str:
    """What a file of the mode that `os.stat` gives is: "a file", "a folder", "a pipe" ..."""
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    return {**kinds, stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")
