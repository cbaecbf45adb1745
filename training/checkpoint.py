"""Checkpoints on disk: each a folder that is there whole or not at all, the newest ones kept."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from safetensors import SafetensorError

from ..ground.errors import UserError
from .manifest import write_manifest

CHECKPOINTS = "checkpoints"
"""The folder of a run that holds them."""
NETWORK = "network"
"""The part of a checkpoint that is a diffusers folder of the network."""
_NAME = re.compile(r"step-([0-9]{8,})")
_UNFINISHED = ".unfinished-"
"""What begins the name of a folder that is being written, or removed."""


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
        steps = ((int(name[1]), name[0]) for name in names if name)
        return sorted(step for step, name in steps if self.of(step).name == name)

    def of(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.folder / f"step-{step:08d}"

    def newest(self) -> Path | None:
        """The last one that was written."""
        steps = self.steps()
        return self.of(steps[-1]) if steps else None

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """A new checkpoint, whose files `write` puts into the folder it is given.

        They are written beside the others, listed with their digests, flushed to the disk and
        renamed; then the oldest are removed. Raises UserError where that fails, such as on a full
        disk: the others stay, and nothing half written is left.
        """
        unfinished = self._unfinished(step)
        try:
            _clear(unfinished)
            unfinished.mkdir(parents=True)
            write(unfinished)
            write_manifest(unfinished)
            _flush(unfinished)
            _clear(self.of(step))
            unfinished.rename(self.of(step))
            _flush_entry(self.folder)
        # torch and safetensors tell a full disk by errors of their own.
        except (OSError, RuntimeError, SafetensorError, UserError) as error:
            # Of a UserError, which says what a file's reader should know, the cause is enough here.
            reason = f"{str(error.__cause__ or error).rstrip('.')} ({_room(self.folder)})"
            _clear(unfinished)
            newest = self.newest()
            kept = f"{newest} is still whole" if newest else "There is no earlier one"
            raise UserError(
                f"The checkpoint of step {step} could not be written to {self.folder}: {reason}. "
                f"{kept}; make room on the disk, then resume."
            ) from error
        for old in self.steps()[: -self.keep]:
            # A folder that is half removed must not look like a checkpoint.
            self.of(old).rename(self._unfinished(old))
            _clear(self._unfinished(old))
        return self.of(step)

    def tidy(self, step: int) -> None:
        """Make room for a run that goes on after `step`: what a killed process left unfinished is
        removed, and later checkpoints, which are damaged, are called so and counted no more.
        """
        if self.folder.is_dir():
            for left in self.folder.glob(f"{_UNFINISHED}*"):
                _clear(left)
        for later in self.steps():
            if later > step:
                self.of(later).rename(_free_name(self.folder / f"damaged-{self.of(later).name}"))

    def _unfinished(self, step: int) -> Path:
        return self.folder / f"{_UNFINISHED}step-{step:08d}"


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(name for name in chain((path,), names) if not name.exists())


def _room(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free there"
    except OSError:  # the folder could not be made
        return "no folder there"


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
