"""SDXL files of random weights, in the layout people download, for either host.

The U-Net is SDXL's in everything ComfyUI tells a family by: three levels of two layers, attention
0, 1 and 2 blocks deep (a shortened SDXL's to ComfyUI, `Segmind_Vega`; the same code as SDXL's 0, 2
and 10), every level 320 wide. Both text encoders and the VAE have their full shapes, which
ComfyUI's classes fix. All is stored as float16. As in `tests/sd15_files.py`, the U-Net finds noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.headless.models.ldm import unet_names
from tests.sd15_files import (
    UNET,
    Shapes,
    loudness,
    on_meta,
    shapes_of,
    text_state,
    vae_shapes,
    write,
)

LEVELS = (320, 320, 320)
LAYERS = 2
DEPTHS = (1, 1, 2)
"""Blocks of attention in each layer of a level; the first has none."""
TEXT_WIDTH = 2048
HEADS = 5
Y_WIDTH = 2816
BIGG_WIDTH, BIGG_LAYERS = 1280, 32
CLIP_L, CLIP_G = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."

_LAST_BLOCK = len(LEVELS) * (LAYERS + 1) - 1
_CONFIG: dict[str, Any] = {
    "block_out_channels": LEVELS,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": LAYERS,
    "transformer_layers_per_block": DEPTHS,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": HEADS,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": Y_WIDTH,
}


def write_checkpoint(path: Path, seed: int = 0) -> Path:
    """A whole checkpoint (U-Net, both text encoders, VAE) in Stability's layout, 2 GB."""
    texts = shapes_of(text_state(), CLIP_L) | openclip_shapes(BIGG_WIDTH, BIGG_LAYERS, CLIP_G)
    return _write(path, _unet_shapes() | texts | vae_shapes(), seed)


def write_unet(path: Path, seed: int = 0) -> Path:
    """The U-Net of that checkpoint alone."""
    return _write(path, _unet_shapes(), seed)


def write_control_net(path: Path, seed: int = 1) -> Path:
    """A ControlNet for that checkpoint in CompVis' layout."""
    from diffusers import ControlNetModel

    state = on_meta(lambda: ControlNetModel(**_CONFIG)).state_dict()
    return _write(path, shapes_of(unet_names(state, LAYERS), "control_model."), seed)


def write_lora(path: Path, seed: int = 3, rank: int = 4) -> Path:
    """A LoRA for that checkpoint as kohya's scripts name it (CompVis' names of the U-Net), on all
    queries of U-Net and text encoders.
    """
    unet = shapes_of(unet_names(_unet_state(), LAYERS))
    weights = {
        **{f"lora_unet_{name}": s for name, s in unet.items() if name.endswith("to_q.weight")},
        **_queries("lora_te1_", 768, 12),
        **_queries("lora_te2_", BIGG_WIDTH, BIGG_LAYERS),
    }
    shapes: Shapes = {}
    for name, (outputs, inputs) in weights.items():
        module = name.removesuffix(".weight").replace(".", "_")
        shapes[f"{module}.lora_down.weight"] = (rank, inputs)
        shapes[f"{module}.lora_up.weight"] = (outputs, rank)
    return _write(path, shapes, seed)


def _queries(beginning: str, width: int, layers: int) -> Shapes:
    stem = f"{beginning}text_model.encoder.layers"
    return {f"{stem}.{n}.self_attn.q_proj.weight": (width, width) for n in range(layers)}


def openclip_shapes(width: int, layers: int, prefix: str) -> Shapes:
    """The tensors of an OpenCLIP text encoder behind a prefix."""
    shapes: Shapes = {
        "positional_embedding": (77, width),
        "token_embedding.weight": (49408, width),
        "text_projection": (width, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}"
        shapes |= {
            f"{block}.ln_1.weight": (width,),
            f"{block}.ln_1.bias": (width,),
            f"{block}.ln_2.weight": (width,),
            f"{block}.ln_2.bias": (width,),
            f"{block}.attn.in_proj_weight": (3 * width, width),
            f"{block}.attn.in_proj_bias": (3 * width,),
            f"{block}.attn.out_proj.weight": (width, width),
            f"{block}.attn.out_proj.bias": (width,),
            f"{block}.mlp.c_fc.weight": (4 * width, width),
            f"{block}.mlp.c_fc.bias": (4 * width,),
            f"{block}.mlp.c_proj.weight": (width, 4 * width),
            f"{block}.mlp.c_proj.bias": (width,),
        }
    return {prefix + name: shape for name, shape in shapes.items()}


def _write(path: Path, shapes: Shapes, seed: int) -> Path:
    return write(path, shapes, seed, _LAST_BLOCK, loudness)


def _unet_shapes() -> Shapes:
    return shapes_of(unet_names(_unet_state(), LAYERS), UNET)


def _unet_state() -> Mapping[str, Tensor]:
    from diffusers import UNet2DConditionModel

    ups = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    state: Mapping[str, Tensor] = on_meta(
        lambda: UNet2DConditionModel(**_CONFIG, up_block_types=ups)
    ).state_dict()
    return state
