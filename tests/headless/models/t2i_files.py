"""Tiny T2I adapters on disk, in the layouts that people have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.tiny import CHANNELS
from tests.weights import drawn


def adapter(adapter_type: str, in_channels: int = 3, channels: Sequence[int] = CHANNELS) -> Any:
    """Diffusers' T2IAdapter for the tiny U-Net."""
    from diffusers import T2IAdapter

    xl = adapter_type.endswith("xl")
    if adapter_type.startswith("light"):
        channels = channels[:-1]  # diffusers gives the light one's last level the width before it
    made = T2IAdapter(
        in_channels=in_channels,
        channels=list(channels),
        num_res_blocks=2,
        downscale_factor=16 if xl else 8,
        adapter_type=adapter_type,
    )
    shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
    made.load_state_dict(drawn(shapes, seed=3))
    return made.eval().requires_grad_(False)


def save_adapter(path: Path, made: Any, layout: str) -> Path:
    """The adapter as "tencent", "diffusers" (or "diffusers bare") file, "folder" or "pickle"."""
    if layout == "folder":
        made.save_pretrained(path)
        return path
    tensors = made.state_dict()
    if layout == "pickle":
        torch.save(tencent_names(tensors), path.with_suffix(".pth"))
        return path.with_suffix(".pth")
    if layout == "diffusers bare":
        tensors = {name.removeprefix("adapter."): value for name, value in tensors.items()}
    file = path.with_suffix(".safetensors")
    save_file(tencent_names(tensors) if layout == "tencent" else dict(tensors), file)
    return file


def tencent_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Diffusers' names to those of TencentARC's files: blocks in one row, not in levels."""
    light = any(".out_conv." in name for name in tensors)
    return {(_light if light else _full)(name): value for name, value in tensors.items()}


def _light(name: str) -> str:
    return name.removeprefix("adapter.").replace(".resnets.", ".body.")


def _full(name: str) -> str:
    bare = name.removeprefix("adapter.")
    bare = re.sub(
        r"body\.(\d+)\.resnets\.(\d+)", lambda m: f"row.{2 * int(m[1]) + int(m[2])}", bare
    )
    bare = re.sub(r"body\.(\d+)\.in_conv", lambda m: f"row.{2 * int(m[1])}.in_conv", bare)
    return bare.replace("row.", "body.")
