"""Weights from files into modules: straight from disk, without random values made before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...ground.building import of_real_size
from ...ground.errors import UserError
from ...model_files.files import read_tensors
from ...model_files.filling import fill
from ...model_files.folders import weight_files

Weights = dict[str, Tensor]
AnyModule = TypeVar("AnyModule", bound=nn.Module)

# Buffers that old files carry and that modules make themselves.
_MADE_ANEW = ("position_ids",)
# The attention of a VAE had other names before diffusers 0.13.
_OLD_NAMES = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


def read_weights(path: Path, keep: Callable[[str], bool] = lambda name: True) -> Weights:
    """The tensors of one file whose names `keep` accepts; halves become float32.

    One tensor is converted at a time, so the peak is the result and one tensor. Raises UserError
    where the file is damaged.
    """
    return {name: _converted(tensor) for name, tensor in read_tensors(path, keep)}


def read_folder(folder: Path) -> Weights:
    """The tensors of a component folder, as `read_weights`."""
    weights: Weights = {}
    for path in weight_files(folder):
        weights |= read_weights(path)
    return weights


def skeleton(factory: Callable[[], AnyModule], source: Path) -> AnyModule:
    """A module without memory of its own; UserError where its configuration makes none, or one of
    no model's size.
    """
    try:
        with torch.device("meta"), of_real_size(source):
            return factory()
    except UserError:
        raise
    except Exception as error:  # a configuration is free text: anything may be wrong with it
        words = " ".join(str(error).split())[:200]
        raise UserError(f"{source}: its configuration makes no model: {words}.") from error


def with_weights(module: AnyModule, weights: Mapping[str, Tensor], source: Path) -> AnyModule:
    """Give a skeleton its weights, on the CPU, and freeze it.

    Raises UserError, naming `source`, where names, shapes or types are not those of the module.
    """
    given = {
        _new_name(name): tensor for name, tensor in weights.items() if not name.endswith(_MADE_ANEW)
    }
    for name, tensor in module.state_dict().items():
        if name in given and given[name].is_floating_point() != tensor.is_floating_point():
            raise UserError(
                f"{source}: {name} is stored as {given[name].dtype}: a quantised model, which the "
                "embedded host does not run; get it as fp16 or fp32."
            )
    filled = fill(module, given, source)
    _make_buffers(filled)
    return filled


def _make_buffers(module: nn.Module) -> None:
    """Fill the buffers that no file has: the positions 0, 1, 2... of a text encoder."""
    for owner in module.modules():
        for name, buffer in list(owner.named_buffers(recurse=False)):
            if buffer.is_meta:
                if name not in _MADE_ANEW:
                    raise RuntimeError(f"no rule fills the buffer {name} of {type(owner).__name__}")
                positions = torch.arange(buffer.shape[-1]).expand(buffer.shape)
                owner.register_buffer(name, positions, persistent=False)


def _converted(tensor: Tensor) -> Tensor:
    """Floating point of any width as float32, the type a CPU computes fast and exactly in.

    Always a copy: tensors that lie in a file begin at odd addresses, where torch's kernels round
    differently, and the same weights shall give the same picture from every file.
    """
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _new_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
