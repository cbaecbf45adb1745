"""Trained networks as files: a diffusers folder, and a single file in ldm layout for ComfyUI."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .ldm_names import ldm_name

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""Diffusers' names of a network's two files."""

COMFYUI_HINT_CHANNELS = (16, 32, 96, 256)
"""The hint encoder's widths that ComfyUI's loader expects in a single file; it reads no others.
Source: comfy/cldm/cldm.py of github.com/comfyanonymous/ComfyUI, `ControlNet.__init__`."""


def save_folder(network: Any, folder: Path, about: Mapping[str, str] | None = None) -> None:
    """Write `network`, of any kind, as a diffusers folder, its weights as they are.

    `about` goes into the header of the weights: what they were trained from. Both files are written
    elsewhere first, so that an older network in `folder` survives what goes wrong, and other files
    in it stay. Raises UserError where they cannot be written.
    """
    config = {name: value for name, value in network.config.items() if name != "_name_or_path"}
    text = json.dumps({"_class_name": type(network).__name__, **config}, indent=2, sort_keys=True)
    with _written(folder / CONFIG, folder / WEIGHTS) as (config_file, weights_file):
        config_file.write_text(text + "\n", encoding="utf-8")
        _save(network.state_dict(), weights_file, about)


def load_network(folder: Path) -> Any:
    """The network that `save_folder` wrote, in fp32 on the CPU, ready for further training.

    Raises UserError where the folder holds none, or one whose files are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder} holds no ControlNet that can be read: {error}.") from error
    kind = config.get("_class_name") if isinstance(config, dict) else None
    network = _class_of(kind, folder).from_config(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{folder}: {WEIGHTS} does not fit {CONFIG}: {first}") from error
    return network.train()


def save_single_file(
    network: Any,
    path: Path,
    dtype: torch.dtype = torch.float32,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a ControlNet as one safetensors file in ldm layout, which ComfyUI's own loader reads.

    `dtype` is what the file keeps; `about` goes into its header. An older file survives what goes
    wrong. Raises UserError for a network that the layout cannot hold (`single_file_refusal`) and
    where the file cannot be written.
    """
    refusal = single_file_refusal(network)
    if refusal:
        raise UserError(refusal)
    with _written(path) as (file,):
        _save(ldm_weights(network), file, about, dtype)


def single_file_refusal(network: Any) -> str | None:
    """Why `network` cannot be one file in ldm layout, as a sentence; None where it can."""
    kind = type(network).__name__
    if kind != "ControlNetModel":
        return (
            f"A {kind} has no place in ldm layout, which ComfyUI reads, as it copies no encoder; "
            "save it as a diffusers folder."
        )
    if network.config.controlnet_conditioning_channel_order != "rgb":
        return (
            "A ControlNet that reads BGR cannot be saved in ldm layout, which is RGB; save it as a "
            "diffusers folder."
        )
    return None


def unread_by_comfyui(network: Any) -> str | None:
    """Why ComfyUI's loader cannot read the single file of `network`, as a sentence, or None.

    Such a file still loads here.
    """
    widths = tuple(network.config.conditioning_embedding_out_channels)
    if widths == COMFYUI_HINT_CHANNELS:
        return None
    return (
        f"ComfyUI's own loader reads hint encoders of {_listed(COMFYUI_HINT_CHANNELS)} channels, "
        f"and this one has {_listed(widths)}: load the file with ControlStack's loader instead."
    )


def ldm_weights(network: Any) -> dict[str, Tensor]:
    """The weights of a ControlNetModel under their ldm names."""
    layers = network.config.layers_per_block
    hint_blocks = len(network.controlnet_cond_embedding.blocks)
    return {
        ldm_name(name, layers, hint_blocks): weight for name, weight in network.state_dict().items()
    }


def _class_of(kind: object, folder: Path) -> Any:
    if kind == "ControlNetModel":
        from diffusers import ControlNetModel

        return ControlNetModel
    if kind == "LiteControlNet":
        from .lite import LiteControlNet

        return LiteControlNet
    raise UserError(f"{folder} holds a {kind}, where a ControlNetModel or LiteControlNet belongs.")


def _save(
    weights: Mapping[str, Tensor],
    file: Path,
    about: Mapping[str, str] | None,
    dtype: torch.dtype | None = None,
) -> None:
    from safetensors.torch import save_file

    ready = {
        name: weight.detach().to("cpu", dtype).contiguous() for name, weight in weights.items()
    }
    save_file(ready, file, metadata={"format": "pt", **(about or {})})


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
                os.replace(file, path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{paths[-1]} cannot be written: {error}. What was there before is as it was."
        ) from error


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
