"""Checkpoints on disk: each a folder that is there whole or not at all, the newest ones kept."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from ..ground.errors import UserError

_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoints:
    """The folders `step-00000500` in `folder`, of which the newest `keep` stay."""

    folder: Path
    keep: int

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in rising order."""
        if not self.folder.is_dir():
            return []
        names = (_NAME.fullmatch(found.name) for found in self.folder.iterdir() if found.is_dir())
        return sorted(int(name[1]) for name in names if name)

    def of(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.folder / f"step-{step:08d}"

    def newest(self) -> Path | None:
        """The last one that was written."""
        steps = self.steps()
        return self.of(steps[-1]) if steps else None

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """A new checkpoint, whose files `write` puts into the folder it is given.

        They are written beside the others, flushed to the disk and renamed; then the oldest are
        removed. Raises UserError where that fails, such as on a full disk: the others stay, and
        nothing half written is left.
        """
        unfinished = self.folder / f".unfinished-step-{step:08d}"
        try:
            _clear(unfinished)
            unfinished.mkdir(parents=True)
            write(unfinished)
            _flush(unfinished)
            _clear(self.of(step))
            unfinished.rename(self.of(step))
            _flush_entry(self.folder)
        # torch and safetensors tell a full disk by errors of their own.
        except (OSError, RuntimeError, SafetensorError, UserError) as error:
            # Of a UserError, which says what a file's reader should know, the cause is enough here.
            reason = f"{str(error.__cause__ or error).rstrip('.')} ({_free(self.folder)})"
            _clear(unfinished)
            newest = self.newest()
            kept = f"{newest} is still whole" if newest else "There is no earlier one"
            raise UserError(
                f"The checkpoint of step {step} could not be written to {self.folder}: {reason}. "
                f"{kept}; make room on the disk, then resume."
            ) from error
        for old in self.steps()[: -self.keep]:
            _clear(self.of(old))
        return self.of(step)


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free there"
    except OSError:  # the folder could not be made
        return "no folder there"


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush(folder: Path) -> None:
    """Wait until all files and folders below are on the disk."""
    for found in sorted(folder.rglob("*")):
        _flush_entry(found)
    _flush_entry(folder)


def _flush_entry(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    entry = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
