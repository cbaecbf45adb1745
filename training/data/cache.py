"""What was computed once of pictures, prompts and hints, in files of a folder.

A file for each, named by what went into it: a run that was stopped goes on where it was, the first
hundred rows of ten thousand share the files of all, and processes may fill one folder together.
Files are looked at before they are trusted: disks, copies and other programs change them.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...ground.atomic import write_atomic
from ...ground.errors import UserError
from ...ground.reading import read_bytes

if TYPE_CHECKING:
    from ...preprocessors.spec import Hint

Shape = tuple[int, ...]


def digest(*parts: object) -> str:
    """A name for what `parts` say: 32 hexadecimal digits."""
    # Names of files need be no text: Python tells their other bytes by halves of surrogates.
    text = "\n".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


@dataclass(frozen=True)
class Shelf(ABC):
    """Files of one kind that were made in one way, which names `folder`; all hold numbers of one
    `shape`. `damaged` are those that were found to be no such files, and why.
    """

    ENDING: ClassVar[str]

    folder: Path
    shape: Shape
    damaged: dict[Path, str] = field(default_factory=dict, compare=False)

    def file(self, key: str) -> Path:
        """The file for `key`. Folders of 256: file systems are slow with all in one."""
        return self.folder / key[:2] / f"{key}{self.ENDING}"

    def has(self, key: str) -> bool:
        """Whether there is a file for `key` that is whole and holds what it should, by its header;
        its numbers are looked at when they are read.
        """
        path = self.file(key)
        if not path.is_file():
            return False
        try:
            self._check_header(path)
        except Exception as error:  # safetensors and zipfile have errors of their own
            self.damaged[path] = str(error)
            return False
        return True

    @abstractmethod
    def _check_header(self, path: Path) -> None:
        """Raise an error unless the file says that it holds what it should."""

    def _check_shape(
        self, name: str, shape: Shape, numbers: bool, wanted: Shape | None = None
    ) -> None:
        wanted = self.shape if wanted is None else wanted
        if shape != wanted or not numbers:
            raise ValueError(
                f"{name} is {_shape(shape)}{'' if numbers else ' of no usual numbers'} instead of "
                f"{_shape(wanted)}"
            )

    def _write(self, key: str, data: bytes) -> None:
        target = self.file(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The cache {self.folder} cannot be made: {error.strerror}.") from error
        if target.exists() and not (target.is_file() or target.is_dir()):
            target.unlink()  # a pipe or a device in an entry's place is damage, as any other
        write_atomic(target, data)

    @contextmanager
    def _reading(self, key: str) -> Iterator[bytes]:
        """The file's bytes; whatever is wrong with them inside the block is a UserError."""
        path = self.file(key)
        try:
            # Two tensors of at most eight bytes a number, and a header.
            yield read_bytes(path, "the cached file", 16 * math.prod(self.shape) + (1 << 20))
        except Exception as error:
            raise UserError(
                f"The cached file {path} cannot be used ({error}); delete it, and it is made again."
            ) from error


@dataclass(frozen=True)
class Tensors(Shelf):
    """Files of tensors in floats: `names`, of which the first is in all of them, as are `others`,
    which have shapes of their own.
    """

    ENDING: ClassVar[str] = ".safetensors"

    names: tuple[str, ...] = ()
    others: Mapping[str, Shape] = field(default_factory=dict)

    def write(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors. Raises UserError where the disk refuses, when nothing half written stays,
        and for numbers that are not finite.
        """
        from safetensors.torch import save

        if not all(one.isfinite().all() for one in tensors.values()):
            raise UserError(
                f"an encoder gives numbers that are not finite ({self.names[0]}): its weights, or "
                "the precision that it computes in, do not do for this data"
            )
        self._write(key, save({name: one.contiguous().cpu() for name, one in tensors.items()}))

    def read(self, key: str) -> dict[str, Tensor]:
        """The tensors that were kept. Raises UserError for a file that is damaged or gone."""
        from safetensors.torch import load

        with self._reading(key) as data:
            tensors = dict(load(data))
            self._check({name: (tuple(t.shape), _is_float(t.dtype)) for name, t in tensors.items()})
            if not all(one.isfinite().all() for one in tensors.values()):
                raise ValueError("it holds numbers that are not finite")
        return tensors

    def _check_header(self, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            names = file.keys()
            parts = {name: file.get_slice(name) for name in names}
            self._check(
                {
                    name: (tuple(part.get_shape()), part.get_dtype() in ("F32", "F16", "BF16"))
                    for name, part in parts.items()
                }
            )

    def _check(self, found: Mapping[str, tuple[Shape, bool]]) -> None:
        needed = {self.names[0], *self.others}
        if not needed <= set(found) <= {*self.names, *self.others}:
            raise ValueError(f"it holds {', '.join(found) or 'nothing'}")
        for name, (shape, is_float) in found.items():
            self._check_shape(name, shape, is_float, self.others.get(name))


@dataclass(frozen=True)
class Hints(Shelf):
    """Files of hints, compressed without loss: bytes, or floats."""

    ENDING: ClassVar[str] = ".npz"

    def write(self, key: str, hint: Hint) -> None:
        """Keep a hint. Raises UserError where the disk refuses."""
        stream = io.BytesIO()
        np.savez_compressed(stream, hint=hint)
        self._write(key, stream.getvalue())

    def read(self, key: str) -> Hint:
        """The hint that was kept. Raises UserError for a file that is damaged or gone."""
        with self._reading(key) as data, _opened_hint(io.BytesIO(data)) as member:
            dtype, by_columns = self._header(member)
            size = math.prod(self.shape) * dtype.itemsize
            content = member.read(size + 1)  # its checksum is looked at where it ends
            if len(content) != size:
                raise ValueError("it is shorter or longer than its shape")
            order: Literal["F", "C"] = "F" if by_columns else "C"
            hint: Hint = np.ndarray(self.shape, dtype, content, order=order).copy()
            if hint.dtype != np.uint8 and not np.isfinite(hint).all():
                raise ValueError("it holds numbers that are not finite")
        return hint

    def _check_header(self, path: Path) -> None:
        with _opened_hint(path) as member:
            self._header(member)

    def _header(self, member: IO[bytes]) -> tuple[np.dtype[Any], bool]:
        """The type of the numbers, and whether they are kept column by column."""
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError("it is in another version of the format")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(member)
        self._check_shape("hint", shape, dtype in (np.uint8, np.float32, np.float64))
        return dtype, by_columns


@contextmanager
def _opened_hint(file: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(file) as archive, archive.open("hint.npy") as member:
        yield member


def _is_float(dtype: torch.dtype) -> bool:
    return dtype in (torch.float32, torch.float16, torch.bfloat16)


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "one number"


def share() -> tuple[int, int]:
    """This process's number among those that `accelerate launch` started, and how many they are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def moments_of(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (c, h, w) of a kept picture's latents."""
    mean = tensors["mean"]
    return mean, tensors["deviation"] if "deviation" in tensors else torch.zeros_like(mean)
