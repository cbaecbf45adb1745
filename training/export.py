"""Trained networks as files: a diffusers folder, and a single file in ldm layout for ComfyUI."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..ground.atomic import shared, take
from ..ground.building import check_numbers, of_real_size
from ..ground.errors import UserError
from .base_fit import NETWORKS
from .checkpoint_state import load_weights
from .ldm_layout import CONTROL_LORA_CLASS, UNTOLD, ldm_weights, refusal
from .manifest import DamagedError, read_object

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""Diffusers' names of a network's two files."""
SAVING = ".saving-"
"""What begins the name of a folder that results are written in before they take their place."""


def save_folder(
    network: Any,
    folder: Path,
    about: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write `network`, a trained one of any kind or a U-Net, as a diffusers folder.

    `dtype` is what the file keeps, as the weights are if None. `about` goes into its header: what
    they were trained from. Both files are written elsewhere first, so that an older network in
    `folder` survives what goes wrong, and other files in it stay. Raises UserError where they
    cannot be written, and for numbers that `dtype` cannot hold.
    """
    # Names with "_" tell where a configuration comes from.
    config = {name: value for name, value in network.config.items() if not name.startswith("_")}
    text = json.dumps({"_class_name": type(network).__name__, **config}, indent=2, sort_keys=True)
    with _written(folder / CONFIG, folder / WEIGHTS) as (config_file, weights_file):
        config_file.write_text(text + "\n", encoding="utf-8")
        _save(network.state_dict(), weights_file, about, dtype)


def load_network(folder: Path) -> Any:
    """The network that `save_folder` wrote, in fp32 on the CPU, ready for further training.

    Raises UserError where the folder holds none, or one whose files are damaged.
    """
    try:
        network = _made(read_object(folder / CONFIG), folder).train()
        load_weights(network, folder / WEIGHTS, exact=False)
    except DamagedError as error:
        raise error.at(f"{folder} holds no ControlNet that can be read") from error
    return network


def save_single_file(
    network: Any,
    path: Path,
    dtype: torch.dtype = torch.float32,
    about: Mapping[str, str] | None = None,
    new: bool = False,
) -> None:
    """Write a ControlNet as one safetensors file in ldm layout, which ComfyUI's own loader reads.

    `dtype` is what the file keeps; `about` goes into its header, and what its shapes do not tell of
    the network (`ldm_layout.UNTOLD`), as JSON, for the embedded host's loader. An older file
    survives what goes wrong; with `new`, it is not written over. Raises UserError for a network
    that the layout cannot hold, a lite one for example, for numbers that `dtype` cannot hold, and
    where the file cannot be written.
    """
    why_not = refusal(network)
    if why_not:
        raise UserError(why_not)
    with _written(path, new=new) as (file,):
        told = {name: json.dumps(network.config[name]) for name in UNTOLD}
        _save(ldm_weights(network), file, {**(about or {}), **told}, dtype)


def beyond(module: Any, dtype: torch.dtype) -> str | None:
    """The name of the first weight of `module` that is not finite as `dtype`; None for none."""
    return _beyond((name, one.detach().to(dtype)) for name, one in module.state_dict().items())


def _beyond(weights: Iterable[tuple[str, Tensor]]) -> str | None:
    return next((name for name, weight in weights if not torch.isfinite(weight).all()), None)


def _made(config: Any, folder: Path) -> Any:
    """The network of a configuration that comes from a file, with weights of no meaning yet."""
    check_numbers(config, folder / CONFIG)
    kind = config.get("_class_name") if isinstance(config, dict) else None
    if kind not in NETWORKS:
        words = " or ".join(NETWORKS)
        raise UserError(f"{folder / CONFIG} is that of a {kind}, where a {words} belongs.")
    try:
        with of_real_size(folder / CONFIG):
            return _class_of(kind).from_config(config)
    except UserError:
        raise
    except Exception as error:  # a configuration is free text: anything may be wrong with it
        words = " ".join(str(error).split())[:200]
        raise UserError(f"{folder / CONFIG} makes no network: {words}.") from error


def _class_of(kind: str) -> Any:
    if kind == "LiteControlNet":
        from .lite import LiteControlNet

        return LiteControlNet
    if kind == CONTROL_LORA_CLASS:
        from .control_lora import ControlLoraModel

        return ControlLoraModel
    from diffusers import ControlNetModel

    return ControlNetModel


def _save(
    weights: Mapping[str, Tensor],
    file: Path,
    about: Mapping[str, str] | None,
    dtype: torch.dtype | None = None,
) -> None:
    from safetensors.torch import save_file

    ready = {
        name: weight.detach().to("cpu", dtype or weight.dtype).contiguous()
        for name, weight in weights.items()
    }
    if name := _beyond(ready.items()):
        whole = torch.isfinite(weights[name]).all()
        kind = str(ready[name].dtype).removeprefix("torch.")
        why = (
            f"numbers beyond {torch.finfo(ready[name].dtype).max:.6g}, the most that {kind} holds; "
            "write fp32"
            if whole
            else "numbers that are not finite: the network, or what it was made of, is broken"
        )
        raise UserError(f"{file.name} is not written: {name} holds {why}")
    save_file(ready, file, metadata={"format": "pt", **(about or {})})
    shared(file)


@contextmanager
def _written(*paths: Path, new: bool = False) -> Iterator[tuple[Path, ...]]:
    """Files to write in place of `paths`, all in one folder, which they replace at the end, each
    in one move; with `new` they replace nothing. Raises UserError where that fails; what was at
    `paths` before is then still there.
    """
    from safetensors import SafetensorError

    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=SAVING, dir=folder) as beside:
            files = tuple(Path(beside) / path.name for path in paths)
            yield files
            for file, path in zip(files, paths, strict=True):
                take(file, [path]) if new else file.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{paths[-1]} cannot be written: {error}. What was there before is as it was."
        ) from error
