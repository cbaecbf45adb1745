"""Configurations of U-Nets and ControlNets, told from the shapes of their tensors.

Two layouts: "ldm" (CompVis: input_blocks, output_blocks) and diffusers' own (down_blocks). What
shapes do not tell is SD 1.x's: eight heads, groups of 32
(https://github.com/CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml); with
linear projections SD 2.x's: heads of 64 channels
(https://github.com/Stability-AI/stablediffusion, configs/stable-diffusion/v2-inference.yaml).
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
                    f"it is no whole {what} of the SD 1.x kind: {error} is missing"
                ) from error
            except (IndexError, ValueError) as error:
                if isinstance(error, UserError):
                    raise
                raise UserError(
                    f"it is no {what} of the SD 1.x kind: its shapes are others"
                ) from error

        return config

    return checked


@told("U-Net")
def unet_config(shapes: Shapes) -> Config:
    """UNet2DConditionModel's configuration for an SD 1.x-shaped U-Net of any size and text width.

    Raises UserError for other families and where tensors are missing.
    """
    ldm = is_ldm(shapes)
    levels = _levels(shapes, ldm)
    ups = ["CrossAttnUpBlock2D" if level.attends else "UpBlock2D" for level in reversed(levels)]
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
        raise UserError(f"its levels have {sorted(depths)} layers, and SD 1.x has as many in each")
    if any(name.startswith("label_emb.") or name.startswith("add_embedding.") for name in shapes):
        raise UserError("it is of the SDXL family, and SD 1.x is what runs here")
    first = min(name for name in shapes if name.endswith("attn2.to_k.weight"))
    projection = first.split("transformer_blocks")[0] + "proj_in.weight"
    linear = len(shapes[projection]) == 2
    channels = [level.channels for level in levels]
    heads = [max(width // HEAD_CHANNELS, 1) for width in channels] if linear else HEADS
    return {
        "in_channels": shapes["input_blocks.0.0.weight" if ldm else "conv_in.weight"][1],
        "block_out_channels": channels,
        "down_block_types": [
            "CrossAttnDownBlock2D" if level.attends else "DownBlock2D" for level in levels
        ],
        "layers_per_block": levels[0].layers,
        "cross_attention_dim": shapes[first][1],
        "attention_head_dim": heads,  # diffusers' name for the number of heads
        "use_linear_projection": linear,
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
            run(shapes, partial(resnet, level)),
            f"down_blocks.{level}.attentions.0.norm.weight" in shapes,
        )
        for level in range(run(shapes, lambda level: resnet(level, 0)))
    ]


def run(shapes: Shapes, name: Callable[[int], str]) -> int:
    """How many of name(0), name(1)... there are before the first that is missing."""
    return next(index for index in count() if name(index) not in shapes)
