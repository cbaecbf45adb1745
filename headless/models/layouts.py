"""Configurations told from the shapes of tensors, for files that come without one.

Two layouts: "ldm" (CompVis: input_blocks, output_blocks) and diffusers' own (down_blocks). What
shapes do not tell is SD 1.x's: eight heads, groups of 32, quick GELU
(https://github.com/CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from ...errors import UserError
from ...model_files.files import Shape
from .t2i_network import FULL, LIGHT, PIXELS
from .vae import LATENT_SCALE

Shapes = Mapping[str, Shape]
Config = dict[str, Any]

HEADS = 8
CLIP_HEAD_WIDTH = 64
# Text widths of families that need more than SD 1.x's parts, or other settings.
_FAMILIES = {
    1024: "SD 2.x, which runs here from a diffusers folder",
    1280: "the SDXL refiner",
    2048: "SDXL",
}


@dataclass(frozen=True)
class _Level:
    """One resolution of an encoder: its channels, its layers, and whether it reads the text."""

    channels: int
    layers: int
    attends: bool


def under(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): s for name, s in shapes.items() if name.startswith(prefix)}


def is_ldm(shapes: Shapes) -> bool:
    """Whether a U-Net, ControlNet or VAE has CompVis' names rather than diffusers'."""
    return any(name.startswith(("input_blocks.", "encoder.down.")) for name in shapes)


def unet_config(shapes: Shapes) -> Config:
    """UNet2DConditionModel's configuration for an SD 1.x-shaped U-Net of any size.

    Raises UserError for other families and where tensors are missing.
    """
    return _told(_unet_config, shapes, "U-Net")


def controlnet_config(shapes: Shapes) -> Config:
    """ControlNetModel's configuration; raises as `unet_config`."""
    return _told(_controlnet_config, shapes, "ControlNet")


def vae_config(shapes: Shapes) -> Config:
    """AutoencoderKL's configuration, or AutoencoderTiny's own defaults; raises as `unet_config`."""
    return _told(_vae_config, shapes, "VAE")


def clip_config(shapes: Shapes) -> Config:
    """CLIPTextConfig's values; names begin at `embeddings.`; raises as `unet_config`."""
    return _told(_clip_config, shapes, "CLIP text encoder")


def adapter_config(shapes: Shapes) -> Config:
    """A T2I adapter's configuration; names are those of `t2i_network.plain_names`; raises as
    `unet_config`."""
    return _told(_adapter_config, shapes, "T2I adapter")


def _told(tell: Callable[[Shapes], Config], shapes: Shapes, what: str) -> Config:
    try:
        return tell(shapes)
    except KeyError as error:
        raise UserError(f"it is no whole {what} of the SD 1.x kind: {error} is missing") from error
    except (IndexError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"it is no {what} of the SD 1.x kind: its shapes are others") from error


def _unet_config(shapes: Shapes) -> Config:
    ldm = is_ldm(shapes)
    levels = _levels(shapes, ldm)
    ups = ["CrossAttnUpBlock2D" if level.attends else "UpBlock2D" for level in reversed(levels)]
    return {
        "_class_name": "UNet2DConditionModel",
        "out_channels": shapes["out.2.weight" if ldm else "conv_out.weight"][0],
        "up_block_types": ups,
        **_encoder_config(shapes, levels, ldm),
    }


def _controlnet_config(shapes: Shapes) -> Config:
    ldm = is_ldm(shapes)
    if "difference" in shapes:
        raise UserError("it holds only the difference to a base model; get the full ControlNet")
    # The convolutions of the hint's encoder that change the channels: the first and every second.
    places = ("0", "4", "8", "12") if ldm else ("conv_in", "blocks.1", "blocks.3", "blocks.5")
    stem = "input_hint_block." if ldm else "controlnet_cond_embedding."
    hint = [shapes[f"{stem}{place}.weight"] for place in places]
    return {
        "_class_name": "ControlNetModel",
        "conditioning_channels": hint[0][1],
        "conditioning_embedding_out_channels": [shape[0] for shape in hint],
        **_encoder_config(shapes, _levels(shapes, ldm), ldm),
    }


def _encoder_config(shapes: Shapes, levels: list[_Level], ldm: bool) -> Config:
    depths = {level.layers for level in levels}
    if len(depths) != 1:
        raise UserError(f"its levels have {sorted(depths)} layers, and SD 1.x has as many in each")
    if any(name.startswith("label_emb.") or name.startswith("add_embedding.") for name in shapes):
        raise UserError("it is of the SDXL family, and the embedded host runs SD 1.x")
    first = min(name for name in shapes if name.endswith("attn2.to_k.weight"))
    width = shapes[first][1]
    if width in _FAMILIES:
        raise UserError(f"its text is {width} wide, which is {_FAMILIES[width]}; SD 1.x has 768")
    projection = first.split("transformer_blocks")[0] + "proj_in.weight"
    return {
        "in_channels": shapes["input_blocks.0.0.weight" if ldm else "conv_in.weight"][1],
        "block_out_channels": [level.channels for level in levels],
        "down_block_types": [
            "CrossAttnDownBlock2D" if level.attends else "DownBlock2D" for level in levels
        ],
        "layers_per_block": levels[0].layers,
        "cross_attention_dim": width,
        "attention_head_dim": HEADS,  # diffusers' name for the number of heads
        "use_linear_projection": len(shapes[projection]) == 2,
    }


def _levels(shapes: Shapes, ldm: bool) -> list[_Level]:
    levels = _ldm_levels(shapes) if ldm else _diffusers_levels(shapes)
    if any(f"{block}.transformer_blocks.1.norm1.weight" in shapes for block in _blocks(shapes)):
        raise UserError("its attention is several blocks deep, as SDXL's; SD 1.x has one")
    return levels


def _blocks(shapes: Shapes) -> set[str]:
    return {name.split(".transformer_blocks.")[0] for name in shapes}


def _ldm_levels(shapes: Shapes) -> list[_Level]:
    """Input blocks in a row: layers, and an "op" that halves the picture between two levels."""
    levels: list[_Level] = []
    layers = 0
    channels, attends = shapes["input_blocks.1.0.out_layers.3.weight"][0], False
    for index in count(1):
        block = f"input_blocks.{index}"
        if f"{block}.0.op.weight" in shapes:
            levels.append(_Level(channels, layers, attends))
            layers, attends = 0, False
        elif f"{block}.0.out_layers.3.weight" in shapes:
            channels = shapes[f"{block}.0.out_layers.3.weight"][0]
            attends = f"{block}.1.norm.weight" in shapes
            layers += 1
        else:
            return [*levels, _Level(channels, layers, attends)]
    raise AssertionError("count never ends")


def _diffusers_levels(shapes: Shapes) -> list[_Level]:
    def resnet(level: int, layer: int) -> str:
        return f"down_blocks.{level}.resnets.{layer}.conv1.weight"

    return [
        _Level(
            shapes[resnet(level, 0)][0],
            _run(shapes, partial(resnet, level)),
            f"down_blocks.{level}.attentions.0.norm.weight" in shapes,
        )
        for level in range(_run(shapes, lambda level: resnet(level, 0)))
    ]


def _run(shapes: Shapes, name: Callable[[int], str]) -> int:
    """How many of name(0), name(1)... there are before the first that is missing."""
    return next(index for index in count() if name(index) not in shapes)


def _vae_config(shapes: Shapes) -> Config:
    if "decoder.layers.0.weight" in shapes:
        return {"_class_name": "AutoencoderTiny"}
    down, conv = ("down.", ".block.") if is_ldm(shapes) else ("down_blocks.", ".resnets.")

    def resnet(level: int, layer: int) -> str:
        return f"encoder.{down}{level}{conv}{layer}.conv1.weight"

    levels = range(_run(shapes, lambda level: resnet(level, 0)))
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": [shapes[resnet(level, 0)][0] for level in levels],
        "down_block_types": ["DownEncoderBlock2D"] * len(levels),
        "up_block_types": ["UpDecoderBlock2D"] * len(levels),
        "layers_per_block": _run(shapes, partial(resnet, 0)),
        "scaling_factor": LATENT_SCALE,
    }


def _clip_config(shapes: Shapes) -> Config:
    tokens, width = shapes["embeddings.token_embedding.weight"]
    layers = {name.split(".")[2] for name in shapes if name.startswith("encoder.layers.")}
    return {
        "model_type": "clip_text_model",
        "vocab_size": tokens,
        "hidden_size": width,
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(width // CLIP_HEAD_WIDTH, 1),
        "max_position_embeddings": shapes["embeddings.position_embedding.weight"][0],
        "hidden_act": "quick_gelu",
        "bos_token_id": tokens - 2,
        "eos_token_id": tokens - 1,
        "pad_token_id": tokens - 1,
    }


def _adapter_config(shapes: Shapes) -> Config:
    light = "body.0.out_conv.weight" in shapes
    folded = shapes["body.0.in_conv.weight" if light else "conv_in.weight"][1]
    if folded in (256, 768):  # 1 or 3 channels of 16 x 16 pixels
        raise UserError("it is of the SDXL family, and the embedded host runs SD 1.x")
    if folded % PIXELS**2:
        raise UserError(f"it takes {folded} channels, no multiple of {PIXELS} x {PIXELS} pixels")
    return {
        "_class_name": "T2IAdapter",
        "in_channels": folded // PIXELS**2,
        **(_light_config(shapes) if light else _full_config(shapes)),
    }


def _full_config(shapes: Shapes) -> Config:
    # Without any block, the first one is what is missing.
    blocks = range(_run(shapes, lambda block: f"body.{block}.block1.weight"))
    return {
        "adapter_type": FULL,
        "channels": [shapes[f"body.{block}.block1.weight"][0] for block in blocks or (0,)][::2],
        "num_res_blocks": 2,
        "kernel": shapes["body.0.block2.weight"][2],
        "learned_halving": any(name.endswith("down_opt.op.weight") for name in shapes),
    }


def _light_config(shapes: Shapes) -> Config:
    levels = range(_run(shapes, lambda level: f"body.{level}.out_conv.weight"))
    return {
        "adapter_type": LIGHT,
        "channels": [shapes[f"body.{level}.out_conv.weight"][0] for level in levels],
        "inner_channels": [shapes[f"body.{level}.in_conv.weight"][0] for level in levels],
        "num_res_blocks": _run(shapes, lambda block: f"body.0.body.{block}.block1.weight"),
    }
