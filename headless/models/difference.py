"""ControlNets that are shared as their difference to the base model they were trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ...ground.errors import UserError
from ...model_files.files import read_tensors
from .made_weights import whole_state

MARK = "difference"


@torch.no_grad()
def add(network: nn.Module, unet: nn.Module, source: Path) -> None:
    """Add the weights of `unet` to those of a difference's `network`, in place.

    In the type that the file has, as ComfyUI does (`comfy/controlnet.py`): halves are rounded after
    the sum. Raises UserError where the two are of other sizes.
    """
    base = whole_state(unet)
    stored = next(tensor.dtype for _, tensor in read_tensors(source, _is_hint))
    for name, own in network.named_parameters():
        theirs = base.get(name)
        if theirs is None:
            continue
        if theirs.shape != own.shape:
            raise UserError(
                f"{source} is the difference to another model than the one given: {name} is "
                f"{tuple(own.shape)} in it and {tuple(theirs.shape)} in the model; wire the model "
                "that it was made from."
            )
        own.copy_(own.to(stored) + theirs.to(own.device, stored))


def _is_hint(name: str) -> bool:
    return name.endswith("input_hint_block.0.weight")
