"""Files that are written whole or not at all. Below all layers that write some."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .errors import UserError


def shared(path: Path) -> None:
    """Give a file the permissions that new files get here: safetensors keeps its own to their
    owner, so that a ComfyUI of another user could not read them.
    """
    beside = path.with_name(f".{path.name}.mode")
    beside.touch()
    path.chmod(beside.stat().st_mode)
    beside.unlink()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds all of it or stays as it was, also on Ctrl-C.

    Raises UserError where the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
