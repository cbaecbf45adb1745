"""Files that are written whole or not at all, and names that one writer alone can take."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from .errors import UserError


def shared(path: Path) -> None:
    """Give a file the permissions that new files get here: safetensors keeps its own to their
    owner, so that a ComfyUI of another user could not read them.
    """
    beside = _part(path)
    beside.touch()
    path.chmod(beside.stat().st_mode)
    beside.unlink()


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it, where they are missing. Raises UserError where the disk
    refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds all of it or stays as it was, also on Ctrl-C.

    What was there is replaced. Raises UserError where the folder cannot be written.
    """
    with _part_with(path, data) as part:
        if path.exists() and not path.is_file():  # a pipe or a device would be replaced, too
            raise UserError(f"cannot write {path}: it is no regular file; name another")
        part.replace(path)


def write_free(names: Iterable[Path], data: bytes) -> Path:
    """Write `data` under the first of `names` that nobody has, and return that name.

    A name is taken and filled in one step: of two processes that want the same, one gets the next.
    All names lie in one folder. Raises UserError where it cannot be written or none is free.
    """
    waiting = iter(names)
    path = next(waiting)
    with _part_with(path, data) as part:
        return take(part, chain((path,), waiting))


def take(part: Path, names: Iterable[Path]) -> Path:
    """Give the finished file or folder `part` the first of `names` that nobody has, and return that
    name.

    All lie in one folder. Raises UserError where none is free, and OSError as the disk does.
    """
    path = part
    for path in names:
        if _taken(part, path):
            return path
    raise UserError(f"{path} is there already; name another, or move it away")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` at which a file or folder may be made inside the block, for
    `take` to name; what is left there goes. Raises UserError for what the disk refuses meanwhile.
    """
    part = _part(path)
    try:
        yield part
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, empty: bool = False) -> Iterator[Path]:
    """A folder to fill inside the block, which then becomes `path`; on an error nothing changes.

    With `empty`, an empty folder of that name is as good as none. Raises UserError where `path` is
    there already, also where another process was first, and where the place cannot be written.
    """
    taken = UserError(f"{path} is there already; name another, or move it away")
    if _exists(path) and not (empty and _is_empty(path)):
        raise taken
    part = _part(path)
    try:
        part.mkdir(parents=True)
        yield part
        if empty and _is_empty(path):
            path.rmdir()
        if not _taken(part, path):
            raise taken
    except OSError as error:
        raise (taken if _exists(path) else _unwritable(path, error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(path: Path) -> Path:
    """A hidden name beside `path` that no other writer has; short, since `path` may be as long as
    names can be.
    """
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part")


@contextmanager
def _part_with(path: Path, data: bytes) -> Iterator[Path]:
    with beside(path) as part:
        part.write_bytes(data)
        yield part


def _taken(part: Path, path: Path) -> bool:
    """Whether `path` was free and is now what `part` was."""
    if part.is_dir():
        return _moved(part, path)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a disk without hard links: the empty file keeps the name until it is replaced
        try:
            path.open("xb").close()
        except FileExistsError:
            return False
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise
    return True


def _moved(folder: Path, path: Path) -> bool:
    if _exists(path):  # a rename would take the place of an empty folder or, on POSIX, of a link
        return False
    try:
        folder.rename(path)
    except OSError:
        if _exists(path):  # another was first
            return False
        raise
    return True


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}")
