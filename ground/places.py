"""Where results will go, looked at before the work begins; and whether two names are one file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from .errors import UserError
from .reading import kind_in_words


def require_place(path: Path, what: str, folder: bool = False) -> None:
    """Raise UserError, which calls it `what`, unless `path` can be written: as a file, or with
    `folder` as a folder that files are put into. Nothing is made, and what is there stays.

    Refused are a folder, a pipe or a device in a file's place, a file in a folder's place or on the
    way, links to nowhere, names too long for the disk, and folders that cannot be written.
    """
    try:
        above = path if folder else path.parent
        if path.is_symlink() and not path.exists():
            raise UserError(f"{what} {path} is a link to nowhere; remove it, or name another")
        if path.exists() and not (path.is_dir() if folder else path.is_file()):
            found, asked = kind_in_words(path.stat().st_mode), "folder" if folder else "file"
            raise UserError(f"{what} {path} is {found}; name a {asked}, or remove it")
        missing = []
        while not above.exists():
            if above.is_symlink():
                raise UserError(f"{what} {path} cannot be written: {above} is a link to nowhere")
            missing.append(above.name)
            above = above.parent
        if not above.is_dir():
            raise UserError(f"{what} {path} cannot be written: {above} is no folder; name another")
        for name in [*missing, *([] if folder else [path.name])]:
            with suppress(FileNotFoundError):
                (above / name).lstat()  # raises otherwise for a name that this disk cannot hold
        with tempfile.TemporaryFile(dir=above):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(f"{what} {path} cannot be written: {reason}; name another place") from error


def identity(path: Path) -> Hashable:
    """What two names of one file have in common, through links and other spellings; a file that is
    not there yet is known by its folder and its name, capitals apart.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return os.path.realpath(path.parent), path.name.casefold()
    return status.st_dev, status.st_ino
