"""What was computed once of pictures, prompts and hints, in files of a folder.

A file for each, named by what went into it: a run that was stopped goes on where it was, the first
hundred rows of ten thousand share the files of all, and processes may fill one folder together.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...ground.atomic import write_atomic
from ...ground.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...preprocessors.spec import Hint


def digest(*parts: object) -> str:
    """A name for what `parts` say: 32 hexadecimal digits."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Shelf:
    """Files of one kind that were made in one way; `folder` is named by both."""

    folder: Path
    ending: str = ".safetensors"

    def file(self, key: str) -> Path:
        """The file for `key`. Folders of 256: file systems are slow with all in one."""
        return self.folder / key[:2] / f"{key}{self.ending}"

    def has(self, key: str) -> bool:
        """Whether there is a file for `key`, which then is whole."""
        return self.file(key).is_file()

    def write_tensors(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors. Raises UserError where the disk refuses; nothing half written stays."""
        from safetensors.torch import save

        self._write(key, save({name: one.contiguous().cpu() for name, one in tensors.items()}))

    def tensors(self, key: str) -> dict[str, Tensor]:
        """The tensors that were kept. Raises UserError for a file that is damaged or gone."""
        from safetensors.torch import load_file

        with self._read(key) as path:
            return dict(load_file(path))

    def write_hint(self, key: str, hint: Hint) -> None:
        """Keep a hint, compressed without loss. Raises UserError where the disk refuses."""
        stream = io.BytesIO()
        np.savez_compressed(stream, hint=hint)
        self._write(key, stream.getvalue())

    def hint(self, key: str) -> Hint:
        """The hint that was kept. Raises UserError for a file that is damaged or gone."""
        with self._read(key) as path, np.load(path, allow_pickle=False) as file:
            hint: Hint = file["hint"]
            return hint

    def _write(self, key: str, data: bytes) -> None:
        target = self.file(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The cache {self.folder} cannot be made: {error.strerror}.") from error
        write_atomic(target, data)

    @contextmanager
    def _read(self, key: str) -> Iterator[Path]:
        path = self.file(key)
        try:
            yield path
        # safetensors and zipfile have errors of their own for a damaged file.
        except Exception as error:
            raise UserError(
                f"The cached file {path} cannot be read ({error}); delete it, and it is made again."
            ) from error


def share() -> tuple[int, int]:
    """This process's number among those that `accelerate launch` started, and how many they are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def moments_of(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (c, h, w) of a kept picture's latents."""
    mean = tensors["mean"]
    return mean, tensors["deviation"] if "deviation" in tensors else torch.zeros_like(mean)
