"""Nets of other kinds, made of a whole ControlNet's file, for either host."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

OWN = ("input_hint_block.", "zero_convs.", "middle_block_out.")
RANK = 4


def control_lora(whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Control-LoRA: the net's own layers, and small products for those that it has from the
    U-Net.
    """
    generator = torch.Generator().manual_seed(6)
    made = {"lora_controlnet": torch.zeros(1)}
    for full, value in whole.items():
        name = full.removeprefix("control_model.")
        if name.startswith(OWN):
            made[name] = value
        elif value.ndim > 1:
            stem, fan_in = name.removesuffix(".weight"), value[0].numel()
            made[f"{stem}.up"] = torch.randn(len(value), RANK, generator=generator).half() / RANK
            down = torch.randn(RANK, *value.shape[1:], generator=generator) * fan_in**-0.5
            made[f"{stem}.down"] = down.half()
    return made


def difference(whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The net's own layers, and small differences for the rest."""
    own = tuple(f"control_model.{name}" for name in OWN)
    made = {name: value if name.startswith(own) else value / 8 for name, value in whole.items()}
    return {**made, "difference": torch.zeros(1)}
