"""Trained networks as files: a diffusers folder, and a single file in ldm layout for ComfyUI."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..ground.atomic import shared
from ..ground.building import check_numbers, of_real_size
from ..ground.errors import UserError
from ..ground.reading import read_text, require_regular
from ..ground.structured import read_json
from .fit import NETWORKS
from .ldm_layout import UNTOLD, ldm_weights, refusal

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""Diffusers' names of a network's two files."""


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
    cannot be written.
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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / CONFIG
    try:
        config = read_json(read_text(file, "the configuration"), str(file), "configuration")
        require_regular(folder / WEIGHTS, "the weights")
        weights = load_file(folder / WEIGHTS)
    except (OSError, UserError, SafetensorError) as error:
        raise UserError(f"{folder} holds no ControlNet that can be read: {error}.") from error
    network = _made(config, folder)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"{folder}: {WEIGHTS} does not fit {CONFIG}: {first}") from error
    return network.train()


def save_single_file(
    network: Any,
    path: Path,
    dtype: torch.dtype = torch.float32,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a ControlNet as one safetensors file in ldm layout, which ComfyUI's own loader reads.

    `dtype` is what the file keeps; `about` goes into its header, and what its shapes do not tell of
    the network (`ldm_layout.UNTOLD`), as JSON, for the embedded host's loader. An older file
    survives what goes wrong. Raises UserError for a network that the layout cannot hold, a lite one
    for example, and where the file cannot be written.
    """
    why_not = refusal(network)
    if why_not:
        raise UserError(why_not)
    with _written(path) as (file,):
        told = {name: json.dumps(network.config[name]) for name in UNTOLD}
        _save(ldm_weights(network), file, {**(about or {}), **told}, dtype)


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
    save_file(ready, file, metadata={"format": "pt", **(about or {})})
    shared(file)


@contextmanager
def _written(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Files to write in place of `paths`, all in one folder, which they replace at the end, each
    in one move. Raises UserError where that fails; what was at `paths` before is then still there.
    """
    from safetensors import SafetensorError

    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as beside:
            files = tuple(Path(beside) / path.name for path in paths)
            yield files
            for file, path in zip(files, paths, strict=True):
                file.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{paths[-1]} cannot be written: {error}. What was there before is as it was."
        ) from error
