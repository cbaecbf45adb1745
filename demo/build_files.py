"""What a stage leaves in the work folder: safetensors that are whole, or made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from ..ground.atomic import write_atomic

Tensors = dict[str, Tensor]


def is_whole(path: Path) -> bool:
    """Whether a stage finished `path`: as many bytes as its header says, and a header."""
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def keep(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write them in one move, so that a stop leaves the old file or the new one."""
    write_atomic(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def kept(path: Path, part: str = "") -> Tensors:
    """The tensors of `path` whose names begin with `part`, without it."""
    tensors = load_file(path)
    return {name.removeprefix(part): t for name, t in tensors.items() if name.startswith(part)}
