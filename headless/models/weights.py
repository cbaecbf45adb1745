"""Weights from files into modules: straight from disk, without random values made before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...ground.building import check_numbers, of_real_size
from ...ground.errors import UserError
from ...ground.reading import read_text
from ...ground.structured import read_json
from ...ground.wording import shown
from ...model_files.files import is_pickle, load_pickle

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
    if is_pickle(path):
        found = load_pickle(path, map_location="cpu")
        return {name: _converted(tensor) for name, tensor in found.items() if keep(name)}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            names = [name for name in opened.keys() if keep(name)]  # noqa: SIM118 - no mapping
            return {name: _converted(opened.get_tensor(name)) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be loaded: {error}; fetch it again.") from error


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; UserError where there is none, or one of no model's size."""
    config = read_json(read_text(path, "the configuration"), str(path), "configuration")
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no configuration: a JSON object is expected.")
    check_numbers(config, path)
    return config


def weight_files(folder: Path) -> list[Path]:
    """The weights of a component folder: one file, or every part of one; UserError for none.

    Full precision is taken before halves, safetensors before pickles.
    """
    for stem in ("diffusion_pytorch_model", "model", "pytorch_model"):
        for ending in (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin"):
            whole = folder / f"{stem}{ending}"
            if whole.is_file():
                return [whole]
            index = folder / f"{stem}{ending}.index.json"
            if index.is_file():
                return _parts(index)
    raise UserError(
        f"{folder} has no weights: a diffusion_pytorch_model.safetensors or model.safetensors "
        "belongs there."
    )


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


def fill(module: AnyModule, weights: Mapping[str, Tensor], source: Path) -> AnyModule:
    """Give a skeleton its weights, on the CPU, and freeze it.

    Raises UserError, naming `source`, where names or shapes are not those of the module.
    """
    given = {
        _new_name(name): tensor for name, tensor in weights.items() if not name.endswith(_MADE_ANEW)
    }
    _check_fit(given, module.state_dict(), source)
    module.load_state_dict(given, assign=True)
    _make_buffers(module)
    return module.eval().requires_grad_(False)


def _check_fit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: Path) -> None:
    missing = sorted(wanted.keys() - given.keys())
    if missing:
        raise UserError(
            f"{source} lacks {len(missing)} of {len(wanted)} tensors that its configuration asks "
            f"for, the first {missing[0]}: fetch it again, or another version."
        )
    strange = sorted(given.keys() - wanted.keys())
    if strange:
        raise UserError(
            f"{source} has {len(strange)} tensors that its configuration has no place for, the "
            f"first {shown(strange[0])}: it is another model than it says."
        )
    for name, tensor in wanted.items():
        if given[name].is_floating_point() != tensor.is_floating_point():
            raise UserError(
                f"{source}: {name} is stored as {given[name].dtype}: a quantised model, which the "
                "embedded host does not run; get it as fp16 or fp32."
            )
        if given[name].shape != tensor.shape:
            raise UserError(
                f"{source}: {name} is {tuple(given[name].shape)} and its configuration asks for "
                f"{tuple(tensor.shape)}."
            )


def _make_buffers(module: nn.Module) -> None:
    """Fill the buffers that no file has: the positions 0, 1, 2... of a text encoder."""
    for owner in module.modules():
        for name, buffer in list(owner.named_buffers(recurse=False)):
            if buffer.is_meta:
                if name not in _MADE_ANEW:
                    raise RuntimeError(f"no rule fills the buffer {name} of {type(owner).__name__}")
                positions = torch.arange(buffer.shape[-1]).expand(buffer.shape)
                owner.register_buffer(name, positions, persistent=False)


def _parts(index: Path) -> list[Path]:
    named = read_config(index).get("weight_map")
    names = {str(name) for name in named.values()} if isinstance(named, dict) else set()
    paths = [index.parent / Path(name).name for name in sorted(names)]
    if not paths:
        raise UserError(f"{index} names no files of weights.")
    return paths


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
