"""Tiny SDXL models in the layouts people have: Stability's checkpoint, a diffusers pipeline."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.headless.models.ldm import unet_names, vae_names
from tests.headless.models.tiny_files import sd_vae, seeded
from tests.tiny import tiny_clip

WIDTH = 64  # of each text encoder, and of the pooled text
LAYERS = 1
L, G = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
CONFIG: dict[str, Any] = {
    "block_out_channels": (64, 64, 128),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": LAYERS,
    "transformer_layers_per_block": (1, 1, 3),
    "cross_attention_dim": 2 * WIDTH,
    "attention_head_dim": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": WIDTH + 6 * 256,
}


def sdxl_unet() -> Any:
    """Diffusers' own SDXL U-Net, which makes the vector from text and numbers."""
    from diffusers import UNet2DConditionModel

    ups = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    return seeded(lambda: UNet2DConditionModel(**CONFIG, up_block_types=ups))


def sdxl_control_net() -> Any:
    """A ControlNet for `sdxl_unet` with random zero convolutions."""
    from diffusers import ControlNetModel

    net = seeded(
        lambda: ControlNetModel(**CONFIG, conditioning_embedding_out_channels=(4, 6, 8, 10)), 8
    )
    generator = torch.Generator().manual_seed(1)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    return net


def text_encoder(kind: str, width: int = WIDTH, layers: int = 3) -> Any:
    """The text encoder "l", or "g" or "h" with its projection, of `tiny_clip`'s vocabulary."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokens = len(tiny_clip()[0])
    config = CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=width,
        intermediate_size=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        max_position_embeddings=77,
        projection_dim=width,
        hidden_act="quick_gelu" if kind == "l" else "gelu",
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
    )
    whole = CLIPTextModel if kind == "l" else CLIPTextModelWithProjection
    return seeded(lambda: whole(config), ord(kind))


def openclip_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder of transformers under OpenCLIP's names, its projection turned."""
    found: dict[str, Tensor] = {}
    stems = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    parts = (
        *(("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc")),
        *(("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj")),
    )
    for full, value in state.items():
        name = full.removeprefix("text_model.")
        if name == "text_projection.weight":
            found["text_projection"] = value.T
        elif name in stems:
            found[stems[name]] = value
        elif match := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(\w+)", name):
            others = [state[full.replace("q_proj", f"{one}_proj")] for one in "qkv"]
            found[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}"] = torch.cat(others)
        elif match := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(\w+)", name):
            new = dict(parts).get(match[2])
            if new is not None:
                found[f"transformer.resblocks.{match[1]}.{new}.{match[3]}"] = value
    return found


def checkpoint(unet: Any, vae: Any, first: Any, second: Any) -> dict[str, Tensor]:
    """The tensors of a whole checkpoint."""
    text = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in first.state_dict().items()}
    parts: dict[str, dict[str, Tensor]] = {
        "model.diffusion_model.": unet_names(unet.state_dict(), LAYERS),
        "first_stage_model.": vae_names(vae.state_dict(), 4),
        L: text,
        G: openclip_names(second.state_dict()),
    }
    return {
        prefix + name: tensor.contiguous()
        for prefix, tensors in parts.items()
        for name, tensor in tensors.items()
    }


def save_tokenizer(folder: Path) -> None:
    """`tiny_clip`'s tokenizer, where a file's or a pipeline's is looked for."""
    tiny_clip()[0].save_pretrained(folder)


def save_pipeline(folder: Path) -> Path:
    """A diffusers pipeline folder."""
    parts = {
        **{"unet": sdxl_unet(), "vae": sd_vae()},
        **{"text_encoder": text_encoder("l"), "text_encoder_2": text_encoder("g")},
    }
    parts["vae"].register_to_config(scaling_factor=0.13025)
    for name, module in parts.items():
        module.save_pretrained(folder / name)
    for name in ("tokenizer", "tokenizer_2"):
        save_tokenizer(folder / name)
    kind = {"_class_name": "StableDiffusionXLPipeline"}
    (folder / "model_index.json").write_text(json.dumps(kind))
    return folder
