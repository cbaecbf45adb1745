"""Whole models with tensors dropped, reshaped or renamed: they load, or a sentence says why not."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models import inspect, loading
from controlstack.headless.models.t2i_network import FULL
from tests.headless.models.ldm import unet_names, vae_names
from tests.headless.models.t2i_files import adapter
from tests.headless.models.tiny_files import sd_clip, sd_control_net, sd_unet, sd_vae

UNET = sd_unet()
NET, VAE, CLIP = sd_control_net(UNET), sd_vae(), sd_clip()
WHOLE: dict[str, tuple[dict[str, Tensor], Callable[[Path], Any]]] = {
    "diffusion_models": (unet_names(UNET.state_dict(), 1), loading.load_unet),
    "controlnet": (NET.state_dict(), loading.load_control_net),
    "vae": (vae_names(VAE.state_dict(), 4), loading.load_vae),
    "text_encoders": (CLIP.state_dict(), loading.load_clip),
    "t2i_adapter": (adapter(FULL).state_dict(), loading.load_control_net),
}
FOLDERS = {"t2i_adapter": "controlnet"}
CHANGES = st.sampled_from(["drop", "scalar", "longer", "flat", "rename", "integers"])


def changed(tensors: dict[str, Tensor], at: int, change: str) -> dict[str, Tensor]:
    """The tensors with the one at this place damaged."""
    others = dict(tensors)
    name = sorted(others)[at % len(others)]
    tensor = others.pop(name)
    if change == "rename":
        return {**others, f"{name}.more": tensor}
    damaged = {
        "scalar": torch.tensor(1.0),
        "longer": torch.cat([tensor, tensor]),
        "flat": tensor.flatten(),
        "integers": tensor.to(torch.int32),
    }
    return others if change == "drop" else {**others, name: damaged[change]}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 400), CHANGES)
def test_damaged_models(kind: str, at: int, change: str) -> None:
    tensors, load = WHOLE[kind]
    damaged = {k: v.contiguous() for k, v in changed(tensors, at, change).items()}
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(UserError):
        path = Path(folder, "model.safetensors")
        save_file(damaged, path)
        inspect.check(path, FOLDERS.get(kind, kind))
        load(path)
