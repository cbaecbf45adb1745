"""A U-Net whose layers are large enough to be kept as narrow, or as packed, as a file has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from controlstack.headless import computing
from controlstack.headless.models.made_weights import LARGE
from tests.headless.models.tiny_files import seeded

INPUTS = (torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 77, 64))


def large_unet() -> Any:
    """The U-Net; a call takes `INPUTS`."""
    from diffusers import UNet2DConditionModel

    levels = ("CrossAttnDownBlock2D",) * 2, ("CrossAttnUpBlock2D",) * 2
    return seeded(
        lambda: UNet2DConditionModel(
            block_out_channels=(64, 128),
            down_block_types=levels[0],
            up_block_types=levels[1],
            layers_per_block=1,
            cross_attention_dim=64,
        )
    )


def lora_file(path: Path, unet: Any) -> Path:
    """A LoRA of one large layer of `unet`, under the names of kohya's scripts."""
    weights = unet.state_dict()
    large = {name for name, value in weights.items() if value.numel() >= LARGE}
    target = min(name for name in large if "attn1.to_out" in name or "ff.net" in name)
    stem = f"lora_unet_{target.removesuffix('.weight').replace('.', '_')}"
    outputs, inputs = weights[target].shape
    up, down = torch.randn(outputs, 2), torch.randn(2, inputs)
    save_file({f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": down}, path)
    return path


@contextmanager
def no_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside the block a run has no memory for weights beyond what their file takes."""
    monkeypatch.setattr(computing, "available", lambda: 0)
    with computing.use(computing.chosen("cpu", "auto")):
        yield
