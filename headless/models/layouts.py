"""Configurations told from the shapes of tensors, for files that come without one.

U-Nets and ControlNets are told in `model_files/unet_layout.py`; here is what the embedded host
refuses of them, and VAEs, text encoders and T2I adapters. What shapes do not tell of text encoders
is the activation: quick GELU in OpenAI's CLIP, SD 1.x's and SDXL's first
(https://github.com/CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml), GELU in
OpenCLIP's, SD 2.x's and SDXL's second (https://github.com/mlfoundations/open_clip).
"""

from __future__ import annotations

from functools import partial

from ...ground.errors import UserError
from ...model_files import unet_layout
from ...model_files.unet_layout import Config, Shapes, is_ldm, run, told
from .families import REFINER_WIDTH
from .t2i_network import FULL, FULL_XL, LIGHT, PIXELS, PIXELS_XL
from .vae import LATENT_SCALE

CLIP_HEAD_WIDTH = 64
CLIP_L_LAYERS = 12
"""Layers of OpenAI's CLIP ViT-L; OpenCLIP's ViT-H has 24 and ViT-bigG 32."""


def unet_config(shapes: Shapes) -> Config:
    """See `unet_layout.unet_config`; UserError, too, for families that a file does not tell."""
    return _no_refiner(unet_layout.unet_config(shapes))


def control_net_config(shapes: Shapes) -> Config:
    """See `unet_layout.control_net_config`; raises as `unet_config`."""
    return _no_refiner(unet_layout.control_net_config(shapes))


def _no_refiner(config: Config) -> Config:
    if config["cross_attention_dim"] == REFINER_WIDTH:
        raise UserError(
            f"its text is {REFINER_WIDTH} wide, as the SDXL refiner's, which does not run here"
        )
    return config


@told("VAE")
def vae_config(shapes: Shapes) -> Config:
    """AutoencoderKL's configuration, or AutoencoderTiny's own defaults; raises as `unet_config`."""
    if "decoder.layers.0.weight" in shapes:
        return {"_class_name": "AutoencoderTiny"}
    down, conv = ("down.", ".block.") if is_ldm(shapes) else ("down_blocks.", ".resnets.")

    def resnet(level: int, layer: int) -> str:
        return f"encoder.{down}{level}{conv}{layer}.conv1.weight"

    levels = range(run(shapes, lambda level: resnet(level, 0)))
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": [shapes[resnet(level, 0)][0] for level in levels],
        "down_block_types": ["DownEncoderBlock2D"] * len(levels),
        "up_block_types": ["UpDecoderBlock2D"] * len(levels),
        "layers_per_block": run(shapes, partial(resnet, 0)),
        "scaling_factor": LATENT_SCALE,
    }


@told("CLIP text encoder")
def clip_config(shapes: Shapes) -> Config:
    """CLIPTextConfig's values; names begin at `embeddings.`, or are OpenCLIP's; raises as
    `unet_config`.
    """
    openclip = is_openclip(shapes)
    stem = "" if openclip else "embeddings."
    layer = "transformer.resblocks.{}.mlp.c_fc" if openclip else "encoder.layers.{}.mlp.fc1"
    position = "positional_embedding" if openclip else f"{stem}position_embedding.weight"
    tokens, width = shapes[f"{stem}token_embedding.weight"]
    layers = run(shapes, lambda index: f"{layer.format(index)}.weight")
    return {
        "model_type": "clip_text_model",
        "vocab_size": tokens,
        "hidden_size": width,
        "intermediate_size": shapes[f"{layer.format(0)}.weight"][0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(width // CLIP_HEAD_WIDTH, 1),
        "max_position_embeddings": shapes[position][0],
        "hidden_act": "gelu" if openclip or layers > CLIP_L_LAYERS else "quick_gelu",
        "bos_token_id": tokens - 2,
        "eos_token_id": tokens - 1,
        "pad_token_id": tokens - 1,
    }


def is_openclip(shapes: Shapes) -> bool:
    """Whether a text encoder has OpenCLIP's names rather than transformers'."""
    return any(name.startswith("transformer.resblocks.") for name in shapes)


@told("T2I adapter")
def adapter_config(shapes: Shapes) -> Config:
    """A T2I adapter's configuration; names are those of `t2i_network.plain_names`; raises as
    `unet_config`."""
    light = "body.0.out_conv.weight" in shapes
    folded = shapes["body.0.in_conv.weight" if light else "conv_in.weight"][1]
    xl = folded in (PIXELS_XL**2, 3 * PIXELS_XL**2)  # of one channel or three, as ComfyUI tells it
    if xl and light:
        raise UserError(
            f"it is a light one that folds {PIXELS_XL} x {PIXELS_XL} pixels, which ComfyUI has not "
            "either; use a full one for SDXL"
        )
    pixels = PIXELS_XL if xl else PIXELS
    if folded % pixels**2:
        raise UserError(f"it takes {folded} channels, no multiple of {pixels} x {pixels} pixels")
    return {
        "_class_name": "T2IAdapter",
        "in_channels": folded // pixels**2,
        **(_light_config(shapes) if light else _full_config(shapes)),
        **({"adapter_type": FULL_XL} if xl else {}),
    }


def _full_config(shapes: Shapes) -> Config:
    # Without any block, the first one is what is missing.
    blocks = range(run(shapes, lambda block: f"body.{block}.block1.weight"))
    return {
        "adapter_type": FULL,
        "channels": [shapes[f"body.{block}.block1.weight"][0] for block in blocks or (0,)][::2],
        "num_res_blocks": 2,
        "kernel": shapes["body.0.block2.weight"][2],
        "learned_halving": any(name.endswith("down_opt.op.weight") for name in shapes),
    }


def _light_config(shapes: Shapes) -> Config:
    levels = range(run(shapes, lambda level: f"body.{level}.out_conv.weight"))
    return {
        "adapter_type": LIGHT,
        "channels": [shapes[f"body.{level}.out_conv.weight"][0] for level in levels],
        "inner_channels": [shapes[f"body.{level}.in_conv.weight"][0] for level in levels],
        "num_res_blocks": run(shapes, lambda block: f"body.0.body.{block}.block1.weight"),
    }
