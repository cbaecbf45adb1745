"""How much memory something takes, said before it is tried, and errors of memory as sentences."""

from __future__ import annotations

import sys

from .errors import UserError
from .wording import size_in_words

# How allocators that raise a plain RuntimeError, or an error of their own, say it: torch's on a
# CPU, CUDA's, and OpenCV's.
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "insufficient memory")


def available() -> int:
    """The bytes of main memory that a process could still take."""
    import psutil

    return int(psutil.virtual_memory().available)


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
