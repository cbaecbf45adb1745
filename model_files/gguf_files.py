"""GGUF files, as llama.cpp's tools write them: plain tensors, and others packed in small blocks.

Container and blocks are read by the library gguf (llama.cpp's own, MIT). Dimensions are stored the
other way round, and blocks lie along the last one, so ComfyUI-GGUF stores kernels as rows of 256
numbers and tells their shape beside them (its tools/convert.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ground.errors import UserError
from ..ground.wording import first_line, shown

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = b"GGUF"
SUFFIX = ".gguf"

_SHAPE = "comfy.gguf.orig_shape."
_PLAIN = ("F64", "F32", "F16", "BF16")
"""Kinds that torch has; the reader gives the last one as bytes."""
_TEXT = "general."
"""What a file says of itself; its other entries are a language model's words."""


@dataclass(frozen=True)
class Packed:
    """A tensor as its file has it: bytes (rows, bytes in a row), the number of their kind in
    `GGMLQuantizationType`, and the shape of what they hold. It never changes, so copies share it.
    """

    blocks: Tensor
    kind: int
    shape: tuple[int, ...]

    def whole(self) -> Tensor:
        """The numbers, float32: those of the library."""
        import torch

        gguf = require_gguf()
        numbers = gguf.quants.dequantize(self.blocks.numpy(), gguf.GGMLQuantizationType(self.kind))
        return torch.from_numpy(numbers).reshape(self.shape)

    def __deepcopy__(self, memo: object) -> Packed:
        return self


def require_gguf() -> Any:
    """The library; UserError where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise UserError(
            "GGUF files are read by the library gguf, which is not installed: "
            'pip install "controlstack[gguf]"'
        ) from error
    return gguf


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """The shapes of a file's tensors by name, and the texts that it says of itself, by their keys
    ("general.architecture"). UserError where it is cut off, damaged, or packed in an unknown way.
    """
    reader = _reader(path)
    shapes = {one.name: _shape(reader, one, path) for one in reader.tensors}
    said = {name: _said(field) for name, field in reader.fields.items() if name.startswith(_TEXT)}
    return shapes, {name: text for name, text in said.items() if isinstance(text, str)}


def read_packed(
    path: Path, keep: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, Tensor | Packed]]:
    """The tensors whose names `keep` accepts, one after the other: floating point in its own type,
    others packed. Raises UserError as `read_header` does.
    """
    import torch

    reader = _reader(path)
    for one in reader.tensors:
        if not keep(one.name):
            continue
        shape = _shape(reader, one, path)
        data = torch.from_numpy(one.data.copy())  # a file's bytes may change, and lie anywhere
        if one.tensor_type.name not in _PLAIN:
            yield one.name, Packed(data, int(one.tensor_type), shape)
        else:
            halves = one.tensor_type.name == "BF16"
            yield one.name, (data.view(torch.bfloat16) if halves else data).reshape(shape)


def _reader(path: Path) -> Any:
    gguf = require_gguf()

    def get(self: Any, offset: int, dtype: Any, count: int = 1, *order: Any, **named: Any) -> Any:
        """As the library has it, which gives less at a file's end, and counts on for ever there."""
        import numpy as np

        needed = int(offset) + np.dtype(dtype).itemsize * int(count)
        if needed > len(self.data):
            raise UserError(
                f"{path} is cut off: it announces {needed} bytes or more and has "
                f"{len(self.data)}; fetch it again."
            )
        return gguf.GGUFReader._get(self, offset, dtype, count, *order, **named)

    try:
        reader = type("Reader", (gguf.GGUFReader,), {"_get": get})(path)
    except UserError:
        raise
    except Exception as error:  # it trusts what it reads, and fails wherever that leads
        raise UserError(
            f"{path} is a GGUF file that is damaged, or packed in a way that gguf {_version()} "
            f"does not know ({first_line(error)}); fetch it again, or get another quantisation."
        ) from error
    if reader.byte_order != "I":
        raise UserError(f"{path} is a GGUF file of the other byte order; get one for this machine.")
    for one in reader.tensors:
        if not _is_read(one.tensor_type):
            raise UserError(
                f"{path}: {shown(one.name)} is packed as {one.tensor_type.name}, which gguf "
                f"{_version()} does not unpack; get another quantisation, such as Q8_0 or Q4_K_M."
            )
    return reader


@cache
def _is_read(kind: Any) -> bool:
    """Whether the library has numbers for this kind: tried on one block of it."""
    import numpy as np

    gguf = require_gguf()
    if kind.name in _PLAIN:
        return True
    try:
        gguf.quants.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def _shape(reader: Any, one: Any, path: Path) -> tuple[int, ...]:
    stored = tuple(int(size) for size in reversed(one.shape))
    told = reader.get_field(f"{_SHAPE}{one.name}")
    if told is None:
        return stored
    shape = _said(told)
    sizes = shape if isinstance(shape, list) else []
    if not all(isinstance(size, int) and size > 0 for size in sizes) or (
        math.prod(sizes) != math.prod(stored)
    ):
        raise UserError(
            f"{path}: {shown(one.name)} has {math.prod(stored)} numbers and its shape is told as "
            f"{shown(str(shape))}: the file is damaged; fetch it again."
        )
    return tuple(sizes)


def _said(field: Any) -> Any:
    """The value of an entry, None for a text that is none."""
    try:
        return field.contents()
    except UnicodeDecodeError:
        return None


def _version() -> str:
    from importlib.metadata import version

    return version("gguf")
