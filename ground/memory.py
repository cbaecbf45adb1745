"""How much memory something takes, said before it is tried, and errors of memory as sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .errors import UserError
from .wording import size_in_words

# How allocators that raise a plain RuntimeError, or an error of their own, say it: torch's on a
# CPU, CUDA's, and OpenCV's.
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "insufficient memory")


def available() -> int:
    """The bytes of main memory that this process could still take; a container's limit counts."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_room_in_container()])


def _room_in_container(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What Linux's control groups leave, in either version; files that are cached make room."""
    for folder, limit, used, cached in (
        (root, "memory.max", "memory.current", "inactive_file"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError, KeyError):  # no such group, or a limit called "max"
            room = int((folder / limit).read_text()) - int((folder / used).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            yield max(0, room + int(dict(line.split() for line in lines)[cached]))


def require_memory(size: float, what: str) -> None:
    """Raise UserError where `size` bytes for `what` are more than the memory that is free.

    Where the system promises more than it has, the process would be killed without a word.
    """
    free = available()
    if size > free:
        raise UserError(
            f"{what} would take {size_in_words(size)} of memory, and {size_in_words(free)} are "
            "free: make it smaller"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, by whichever library it was raised."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return True
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    cv2_error = getattr(sys.modules.get("cv2"), "error", None)
    kinds = (RuntimeError,) if cv2_error is None else (RuntimeError, cv2_error)
    return isinstance(error, kinds) and any(words in str(error).lower() for words in _SAID)


def out_of_memory(error: BaseException, doing: str) -> UserError:
    """The sentence for an error that `is_out_of_memory` knows, while `doing` ("node 3")."""
    asked = " ".join(str(error).split())[:150] or "no figure was given"
    return UserError(
        f"{doing} ran out of memory ({asked}); {size_in_words(available())} are free: make "
        "pictures or batches smaller"
    )
