"""A folder that one process works in at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError

LOCK = ".controlstack.lock"
"""The file that is locked. The system lets go of it when its process ends, however it ends; the
empty file stays, since to remove it would let a third process lock another one of its name."""


@contextmanager
def working_in(folder: Path, doing: str) -> Iterator[None]:
    """Keep `folder`, which is made, to this process inside the block.

    Raises UserError at once where another process has it; `doing` says what for ("training").
    """
    from filelock import FileLock, Timeout  # what torch itself needs

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process is {doing} in {folder}; wait until it has ended, or name another "
            "folder"
        ) from None
    except (OSError, NotImplementedError) as error:  # or a disk without locks
        raise UserError(
            f"cannot write in {folder}: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def require_idle(folder: Path, doing: str) -> None:
    """Raise UserError, as `working_in` does, where another process works in `folder` now; nothing
    is made.
    """
    if (folder / LOCK).is_file():
        with working_in(folder, doing):
            pass
