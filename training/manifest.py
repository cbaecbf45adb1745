"""What the files of a checkpoint were when they were written: damage is known before it is learnt
from.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from ..ground.errors import UserError
from ..ground.names import inner_name
from ..ground.reading import read_text, require_regular
from ..ground.structured import JsonObject, read_json

MANIFEST = "manifest.json"
"""The file of a checkpoint that lists the SHA-256 of all others."""
_AT_ONCE = 1 << 20


class DamagedError(UserError):
    """A file of a checkpoint is not what was written, or is gone."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file} is damaged: {why}")


def write_manifest(folder: Path) -> None:
    """List every file below `folder` with its digest."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    digests = {path.relative_to(folder).as_posix(): _digest(path) for path in files}
    (folder / MANIFEST).write_text(json.dumps({"files": digests}, indent=2) + "\n")


def check_manifest(folder: Path) -> None:
    """Raise DamagedError, naming the file, unless all are in `folder` as they were written, and no
    others; hidden ones, which file browsers leave, are nobody's.

    Checkpoints from before there were manifests have none; their content alone can be looked at.
    """
    manifest = folder / MANIFEST
    if not os.path.lexists(manifest):
        return
    files = read_object(manifest).get("files")
    if not isinstance(files, dict) or not files:
        raise DamagedError(manifest, "it lists no files")
    there = {
        path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if not path.is_dir()
    }
    for name in sorted(there - {MANIFEST, *files}):
        raise DamagedError(folder / name, f"{MANIFEST} does not list it")
    for name, digest in files.items():
        try:
            path = folder / inner_name(name, "the file", folder)
            found = _digest(path)
        except (UserError, OSError) as error:
            raise DamagedError(folder / name, reason(error)) from error
        if found != digest:
            raise DamagedError(path, "it is not what was written (another SHA-256)")


def read_object(file: Path) -> JsonObject:
    """The object in a JSON file of a checkpoint. Raises DamagedError where there is none."""
    try:
        found = read_json(read_text(file, "the file"), str(file), "file of a checkpoint")
    except UserError as error:
        raise DamagedError(file, error.sentence) from error
    if not isinstance(found, dict):
        raise DamagedError(file, "it is no JSON object, {...}")
    return found


def reason(error: Exception) -> str:
    """What a library says is wrong, on one line and not for ever."""
    told = error.strerror if isinstance(error, OSError) else None
    return (told or " ".join(str(error).split()) or type(error).__name__)[:200]


def _digest(path: Path) -> str:
    require_regular(path, "the file")
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            found.update(part)
    return found.hexdigest()
