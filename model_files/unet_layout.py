"""Configurations of U-Nets and ControlNets, told from the shapes of their tensors.

Two layouts: "ldm" (CompVis: input_blocks, output_blocks) and diffusers' own (down_blocks). What
shapes do not tell is SD 1.x's: eight heads, groups of 32
(https://github.com/CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml); with
linear projections SD 2.x's and SDXL's: heads of 64 channels
(https://github.com/Stability-AI/stablediffusion, configs/stable-diffusion/v2-inference.yaml;
https://github.com/Stability-AI/generative-models, configs/inference/sd_xl_base.yaml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from itertools import count
from typing import Any

from ..ground.errors import UserError
from .files import Shape

Shapes = Mapping[str, Shape]
Config = dict[str, Any]
Tell = Callable[[Shapes], Config]

HEADS = 8
TASKS = "task_embedding"  # of a union net: a vector for each type of hint
HEAD_CHANNELS = 64
SINUSOIDS = 256
"""Values for each of the numbers beside SDXL's pooled text (sd_xl_base.yaml, `outdim`)."""


@dataclass(frozen=True)
class _Level:
    """One resolution of an encoder: its channels, its layers, and how many blocks deep the
    attention of each is, 0 where it reads no text.
    """

    channels: int
    layers: int
    depth: int


def under(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): s for name, s in shapes.items() if name.startswith(prefix)}


def is_ldm(shapes: Shapes) -> bool:
    """Whether a U-Net, ControlNet or VAE has CompVis' names rather than diffusers'."""
    return any(name.startswith(("input_blocks.", "encoder.down.")) for name in shapes)


def told(what: str) -> Callable[[Tell], Tell]:
    """For a function that tells a configuration from shapes: where it stumbles over them, it raises
    UserError, naming `what`.
    """

    def checked(tell: Tell) -> Tell:
        @wraps(tell)
        def config(shapes: Shapes) -> Config:
            try:
                return tell(shapes)
            except KeyError as error:
                raise UserError(
                    f"it is no whole {what} of the Stable Diffusion kind: {error} is missing"
                ) from error
            except (IndexError, ValueError) as error:
                if isinstance(error, UserError):
                    raise
                raise UserError(
                    f"it is no {what} of the Stable Diffusion kind: its shapes are others"
                ) from error

        return config

    return checked


@told("U-Net")
def unet_config(shapes: Shapes) -> Config:
    """UNet2DConditionModel's configuration for a U-Net of the SD 1.x, 2.x or SDXL kind, of any size
    and text width.

    Raises UserError for other families and where tensors are missing.
    """
    ldm = is_ldm(shapes)
    levels = _levels(shapes, ldm)
    ups = ["CrossAttnUpBlock2D" if level.depth else "UpBlock2D" for level in reversed(levels)]
    return {
        "_class_name": "UNet2DConditionModel",
        "out_channels": shapes["out.2.weight" if ldm else "conv_out.weight"][0],
        "up_block_types": ups,
        **_encoder_config(shapes, levels, ldm),
    }


@told("ControlNet")
def control_net_config(shapes: Shapes) -> Config:
    """ControlNetModel's or ControlNetUnionModel's configuration; raises as `unet_config`."""
    ldm = is_ldm(shapes)
    # The convolutions of the hint's encoder that change the channels: the first and every second.
    places = ("0", "4", "8", "12") if ldm else ("conv_in", "blocks.1", "blocks.3", "blocks.5")
    stem = "input_hint_block." if ldm else "controlnet_cond_embedding."
    hint = [shapes[f"{stem}{place}.weight"] for place in places]
    return {
        "_class_name": "ControlNetModel",
        "conditioning_channels": hint[0][1],
        "conditioning_embedding_out_channels": [shape[0] for shape in hint],
        **_encoder_config(shapes, _levels(shapes, ldm), ldm),
        **_union_config(shapes),
    }


def _union_config(shapes: Shapes) -> Config:
    """What a union net has beside a ControlNet; its heads are told by no shape, and change nothing
    where a sequence has one token.
    """
    if TASKS not in shapes:
        return {}
    types, channels = shapes[TASKS]
    projected = shapes["spatial_ch_projs.weight"][0]
    return {
        "_class_name": "ControlNetUnionModel",
        "num_control_type": types,
        "num_trans_channel": channels,
        "num_trans_head": HEADS,
        "num_trans_layer": run(shapes, lambda layer: f"transformer_layes.{layer}.ln_1.weight"),
        "num_proj_channel": projected,
        "addition_time_embed_dim": shapes["control_add_embedding.linear_1.weight"][1] // types,
    }


def _encoder_config(shapes: Shapes, levels: list[_Level], ldm: bool) -> Config:
    depths = {level.layers for level in levels}
    if len(depths) != 1:
        raise UserError(
            f"its levels have {sorted(depths)} layers, and Stable Diffusion has as many in each"
        )
    first = min(name for name in shapes if name.endswith("attn2.to_k.weight"))
    projection = first.split("transformer_blocks")[0] + "proj_in.weight"
    linear = len(shapes[projection]) == 2
    channels = [level.channels for level in levels]
    heads = [max(width // HEAD_CHANNELS, 1) for width in channels] if linear else HEADS
    return {
        "in_channels": shapes["input_blocks.0.0.weight" if ldm else "conv_in.weight"][1],
        "block_out_channels": channels,
        "down_block_types": [
            "CrossAttnDownBlock2D" if level.depth else "DownBlock2D" for level in levels
        ],
        "layers_per_block": levels[0].layers,
        "cross_attention_dim": shapes[first][1],
        "attention_head_dim": heads,  # diffusers' name for the number of heads
        "use_linear_projection": linear,
        **_depth_config(shapes, levels, ldm),
        **_class_config(shapes, ldm),
    }


def _depth_config(shapes: Shapes, levels: list[_Level], ldm: bool) -> Config:
    """How deep attention is, where it is more than one block: SDXL's."""
    depths = [level.depth or 1 for level in levels]
    if max(depths) == 1:
        return {}
    middle = depth(shapes, "middle_block.1" if ldm else "mid_block.attentions.0")
    if middle != depths[-1]:  # diffusers makes the middle as deep as the lowest level
        raise UserError(
            f"its middle has {middle} blocks of attention and its lowest level {depths[-1]}, as "
            "shortened SDXL models do, which do not run here"
        )
    return {"transformer_layers_per_block": depths}


def _class_config(shapes: Shapes, ldm: bool) -> Config:
    """What SDXL has beside the text: a vector of the pooled text and numbers."""
    names = [name for name in shapes if name.startswith(("label_emb.", "class_embedding."))]
    first = "label_emb.0.0.weight" if ldm else "add_embedding.linear_1.weight"
    if first in shapes:
        return {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": SINUSOIDS,
            "projection_class_embeddings_input_dim": shapes[first][1],
        }
    if names:
        raise UserError(f"it takes classes beside the text ({min(names)}), which no SDXL does")
    return {}


def _levels(shapes: Shapes, ldm: bool) -> list[_Level]:
    return _ldm_levels(shapes) if ldm else _diffusers_levels(shapes)


def depth(shapes: Shapes, block: str) -> int:
    """How many transformer blocks the attention `block` ("down_blocks.1.attentions.0") has."""
    return run(shapes, lambda index: f"{block}.transformer_blocks.{index}.norm1.weight")


def _ldm_levels(shapes: Shapes) -> list[_Level]:
    """Input blocks in a row: layers, and an "op" that halves the picture between two levels."""
    levels: list[_Level] = []
    layers = 0
    channels, deep = shapes["input_blocks.1.0.out_layers.3.weight"][0], 0
    for index in count(1):
        block = f"input_blocks.{index}"
        if f"{block}.0.op.weight" in shapes:
            levels.append(_Level(channels, layers, deep))
            layers, deep = 0, 0
        elif f"{block}.0.out_layers.3.weight" in shapes:
            channels = shapes[f"{block}.0.out_layers.3.weight"][0]
            deep = depth(shapes, f"{block}.1")
            layers += 1
        else:
            return [*levels, _Level(channels, layers, deep)]
    raise AssertionError("count never ends")


def _diffusers_levels(shapes: Shapes) -> list[_Level]:
    def resnet(level: int, layer: int) -> str:
        return f"down_blocks.{level}.resnets.{layer}.conv1.weight"

    return [
        _Level(
            shapes[resnet(level, 0)][0],
            run(shapes, partial(resnet, level)),
            depth(shapes, f"down_blocks.{level}.attentions.0"),
        )
        for level in range(run(shapes, lambda level: resnet(level, 0)))
    ]


def run(shapes: Shapes, name: Callable[[int], str]) -> int:
    """How many of name(0), name(1)... there are before the first that is missing."""
    return next(index for index in count() if name(index) not in shapes)
