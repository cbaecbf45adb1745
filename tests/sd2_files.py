"""Stable Diffusion 2.x files of random weights, in the layout people download, for either host.

As `tests/sd15_files.py`: the U-Net is SD 2.x's in everything ComfyUI tells a family by, every level
320 wide; OpenCLIP's text encoder and the VAE have their full shapes. It predicts velocities, which
ComfyUI tells by the spread of one bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.headless.models.ldm import unet_names
from tests.sd15_files import UNET, Shapes, loudness, on_meta, shapes_of, vae_shapes, write
from tests.sdxl_files import openclip_shapes

LEVELS = (320, 320, 320, 320)
LAYERS = 2
TEXT_WIDTH, TEXT_LAYERS = 1024, 24
CLIP = "cond_stage_model.model."

_LAST_BLOCK = len(LEVELS) * (LAYERS + 1) - 1
_TELLING = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SPREAD = 10.0  # biases are drawn with a deviation of 0.02, and 0.09 means velocities
_CONFIG: dict[str, Any] = {
    "block_out_channels": LEVELS,
    "layers_per_block": LAYERS,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 5,
    "use_linear_projection": True,
}


def write_checkpoint(path: Path, seed: int = 0) -> Path:
    """A whole checkpoint (U-Net, text encoder, VAE) in Stability's layout, 1 GB."""
    text = openclip_shapes(TEXT_WIDTH, TEXT_LAYERS, CLIP)
    unet = shapes_of(unet_names(_unet_state(), LAYERS), UNET)
    return _write(path, unet | text | vae_shapes(), seed)


def write_control_net(path: Path, seed: int = 1) -> Path:
    """A ControlNet for that checkpoint in CompVis' layout."""
    from diffusers import ControlNetModel

    state = on_meta(lambda: ControlNetModel(**_CONFIG)).state_dict()
    return _write(path, shapes_of(unet_names(state, LAYERS), "control_model."), seed)


def write_lora(path: Path, seed: int = 3, rank: int = 4) -> Path:
    """A LoRA for that checkpoint in kohya's layout, on the queries of the text encoder."""
    stem = "lora_te_text_model_encoder_layers"
    shapes: Shapes = {}
    for layer in range(TEXT_LAYERS):
        module = f"{stem}_{layer}_self_attn_q_proj"
        shapes[f"{module}.lora_down.weight"] = (rank, TEXT_WIDTH)
        shapes[f"{module}.lora_up.weight"] = (TEXT_WIDTH, rank)
    return _write(path, shapes, seed)


def _write(path: Path, shapes: Shapes, seed: int) -> Path:
    def factor(name: str) -> float:
        return _SPREAD if name == _TELLING else loudness(name)

    return write(path, shapes, seed, _LAST_BLOCK, factor)


def _unet_state() -> Mapping[str, Tensor]:
    from diffusers import UNet2DConditionModel

    state: Mapping[str, Tensor] = on_meta(lambda: UNet2DConditionModel(**_CONFIG)).state_dict()
    return state
