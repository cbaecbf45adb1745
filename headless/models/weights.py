"""Weights from files into modules: straight from disk, without random values made before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...ground.building import of_real_size
from ...ground.errors import UserError
from ...model_files.files import is_gguf, read_contents, read_tensors
from ...model_files.filling import fill
from ...model_files.folders import weight_files
from ...model_files.gguf_files import Packed, read_packed
from .. import computing
from .made_weights import settle

Weights = dict[str, Tensor]
AnyModule = TypeVar("AnyModule", bound=nn.Module)

# Buffers that old files carry and that modules make themselves.
_MADE_ANEW = ("position_ids",)
# What files of eight-bit weights say beside them, in ComfyUI's older names and its newer ones
# (`comfy/utils.py`, `comfy/quant_ops.py`): a factor for each weight; the rest is for kernels that
# multiply in eight bits.
_SCALES = ("scale_weight", "weight_scale")
_OF_FP8 = ("scaled_fp8", "scale_input", "input_scale", "comfy_quant")
_SCALE = "controlstack_scale"
_PACKED = "controlstack_packed"

# The attention of a VAE had other names before diffusers 0.13.
_OLD_NAMES = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


def read_weights(
    path: Path, keep: Callable[[str], bool] = lambda name: True, whole: bool = False
) -> Weights:
    """The tensors of one file whose names `keep` accepts, as float32; in the type that the file has
    where what was chosen for the run keeps that and nobody asks for them `whole`.

    One tensor is converted at a time, so the peak is the result and one tensor. Weights of eight
    bits are multiplied by their scales, or bear them (`scale_of`). What a GGUF file has packed is
    made whole, or is borne by a tensor of its shape without memory (`packed_of`). Raises UserError
    where the file is damaged.
    """
    if is_gguf(path):
        return _from_gguf(path, keep, whole)
    keeps = not whole and computing.current().keeps(path.stat().st_size)
    weights: Weights = {}
    scales: Weights = {}
    for name, tensor in read_tensors(path, keep):
        stem, _, role = name.rpartition(".")
        if role in _SCALES:
            scales[f"{stem}.weight"] = tensor.float()
        elif role not in _OF_FP8:
            weights[name] = _converted(tensor, keeps)
    for name in scales.keys() & weights.keys():
        if keeps:
            setattr(weights[name], _SCALE, scales[name])
        else:
            weights[name] *= scales[name]
    return weights


def scale_of(tensor: Tensor) -> Tensor | None:
    """What the numbers of a weight of eight bits have to be multiplied by."""
    scale: Tensor | None = getattr(tensor, _SCALE, None)
    return scale


def packed_of(tensor: Tensor) -> Packed | None:
    """What a weight has to be made of."""
    packed: Packed | None = getattr(tensor, _PACKED, None)
    return packed


def _from_gguf(path: Path, keep: Callable[[str], bool], whole: bool) -> Weights:
    chosen = computing.current()
    keeps = not whole and chosen.keeps(path.stat().st_size)
    numbers = sum(map(math.prod, read_contents(path).shapes.values()))
    packs = not whole and chosen.packs(numbers)
    dtype = torch.float32 if whole or not chosen.may_keep else chosen.dtype
    weights: Weights = {}
    for name, value in read_packed(path, keep):
        if not isinstance(value, Packed):
            weights[name] = _converted(value, keeps)
        elif packs:
            weights[name] = torch.empty(value.shape, device="meta")
            setattr(weights[name], _PACKED, value)
        else:
            weights[name] = value.whole().to(dtype)
    return weights


def read_folder(folder: Path) -> Weights:
    """The tensors of a component folder, as `read_weights`."""
    weights: Weights = {}
    for path in weight_files(folder):
        weights |= read_weights(path)
    return weights


def from_config(kind: Any, config: Mapping[str, Any], source: Path) -> Any:
    """A `skeleton` of a class of diffusers' configuration kind. Keys of its other versions are left
    out, as the library itself does, with a warning.
    """
    known = signature(kind.__init__).parameters
    kept = {key: value for key, value in config.items() if key in known}
    return skeleton(lambda: kind.from_config(kept), source)


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


def with_weights(
    module: AnyModule,
    weights: Mapping[str, Tensor],
    source: Path,
    dtype: torch.dtype = torch.float32,
) -> AnyModule:
    """Give a skeleton its weights, on the device that was chosen for the run, and freeze it; it
    computes in `dtype`.

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
    filled = fill(module, given, source, whole=False)
    _make_buffers(filled)
    scales = {
        name: scale for name, tensor in given.items() if (scale := scale_of(tensor)) is not None
    }
    packed = {
        name: blocks for name, tensor in given.items() if (blocks := packed_of(tensor)) is not None
    }
    settle(filled, scales, dtype, packed)
    device = computing.current().device
    return filled if device == computing.CPU else filled.to(device)  # packed weights cannot move


def _make_buffers(module: nn.Module) -> None:
    """Fill the buffers that no file has: the positions 0, 1, 2... of a text encoder."""
    for owner in module.modules():
        for name, buffer in list(owner.named_buffers(recurse=False)):
            if buffer.is_meta:
                if name not in _MADE_ANEW:
                    raise RuntimeError(f"no rule fills the buffer {name} of {type(owner).__name__}")
                positions = torch.arange(buffer.shape[-1]).expand(buffer.shape)
                owner.register_buffer(name, positions, persistent=False)


def _converted(tensor: Tensor, keeps: bool) -> Tensor:
    """Floating point of any width as float32, the type a CPU computes fast and exactly in, or as it
    is.

    Always a copy: tensors that lie in a file begin at odd addresses, where torch's kernels round
    differently, and the same weights shall give the same picture from every file.
    """
    changes = tensor.is_floating_point() and not keeps
    return tensor.to(torch.float32 if changes else tensor.dtype, copy=True)


def _new_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
