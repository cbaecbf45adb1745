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

    free = int(psutil.virtual_memory().available)
    return min([free, *_room_in_groups(), *_room_in_limits()])


def _room_in_groups(
    root: Path = Path("/sys/fs/cgroup"), told: Path = Path("/proc/self/cgroup")
) -> Iterator[int]:
    """What Linux's control groups leave, in either version: this process's own group and those
    above it. Files that are cached make room.
    """
    own = [Path("/")]
    with suppress(OSError):
        lines = [line.split(":", 2) for line in told.read_text().splitlines()]
        own = [Path(one[2]) for one in lines if one[1] in ("", "memory")] or own
    groups = {str(group).lstrip("/") for path in own for group in (path, *path.parents)}
    for group in sorted(groups):
        yield from _room(root / group, "memory.max", "memory.current", "inactive_file")
        yield from _room(
            root / "memory" / group,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        )


def _room(folder: Path, limit: str, used: str, cached: str) -> Iterator[int]:
    with suppress(OSError, ValueError, KeyError):  # no such group, or a limit called "max"
        room = int((folder / limit).read_text()) - int((folder / used).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        yield max(0, room + int(dict(line.split() for line in lines)[cached]))


def _room_in_limits() -> Iterator[int]:
    """What the limit of the address space leaves (`ulimit -v`), where there is one."""
    with suppress(ImportError):  # Windows
        import resource

        import psutil

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            yield max(0, most - psutil.Process().memory_info().vms)


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
