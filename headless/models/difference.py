"""ControlNets that are shared as their difference to the base model they were trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ...ground.errors import UserError
from ...model_files.files import read_tensors
from .made_weights import whole

MARK = "difference"


@torch.no_grad()
def add(network: nn.Module, unet: nn.Module, source: Path) -> None:
    """Add the weights of `unet` to those of a difference's `network`, in place.

    In the type that the file has, as ComfyUI does (`comfy/controlnet.py`): halves are rounded after
    the sum. Raises UserError where the two are of other sizes.
    """
    stored = next(tensor.dtype for _, tensor in read_tensors(source, _is_hint))
    layers = dict(unet.named_modules())
    for path, layer in network.named_modules():
        for role, own in layer.named_parameters(recurse=False):
            theirs = getattr(layers.get(path), role, None)
            if theirs is None:
                continue
            if theirs.shape != own.shape:
                raise UserError(
                    f"{source} is the difference to another model than the one given: "
                    f"{path}.{role} is {tuple(own.shape)} in it and {tuple(theirs.shape)} in the "
                    "model; wire the model that it was made from."
                )
            base = whole(layers[path]) if role == "weight" else theirs
            own.copy_(own.to(stored) + base.to(own.device, stored))


def _is_hint(name: str) -> bool:
    return name.endswith("input_hint_block.0.weight")
