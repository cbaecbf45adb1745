"""ldm's names: of a ControlNet in lllyasviel's own files, which ComfyUI's loader reads, and of a
U-Net, by which LoRAs for SDXL name what they change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .base_fit import per_level
from .sdxl import pooled_width

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_STEMS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "controlnet_mid_block": "middle_block_out.0",
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
HINT_PLACES = (0, 4, 8, 12)
"""Of input_hint_block: the convolutions that change the channels."""
_UNET_STEMS = {
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_UP = re.compile(r"up_blocks\.(\d+)\.(resnets|attentions|upsamplers)\.(\d+)\.(.+)")
_BLOCK = re.compile(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_HINT = re.compile(r"controlnet_cond_embedding\.(?:blocks\.(\d+)|conv_out)\.(.+)")
_ZERO = re.compile(r"controlnet_down_blocks\.(\d+)\.(.+)")


CONTROL_LORA = "lora_controlnet"
"""The tensor, of no meaning, by which loaders know the file of a Control-LoRA."""
CONTROL_LORA_CLASS = "ControlLoraModel"  # of our own training

UNTOLD = ("attention_head_dim", "norm_num_groups")
"""What of a ControlNet's configuration no shape in its ldm file tells, and its header does."""

_ASSUMED = {"controlnet_conditioning_channel_order": "rgb", "global_pool_conditions": False}
_COMFYUI_HINT = (16, 32, 96, 256)
_COMFYUI_CHANNELS = 320
_SD1, _SD2, _SDXL = 768, 1024, 2048  # the widths of their texts
_POOLED = 1280  # and of the text that SDXL pools


def refusal(network: Any) -> str | None:
    """Why `network` cannot be written in ldm layout, as a sentence; None where it can."""
    kind = type(network).__name__
    if kind not in ("ControlNetModel", CONTROL_LORA_CLASS):
        return (
            f"A {kind} cannot be one file in ldm layout: that has names for a copied encoder only. "
            "Save it as a diffusers folder."
        )
    for key, assumed in _ASSUMED.items():
        if network.config[key] != assumed:
            return (
                f"A ControlNet whose {key} is {network.config[key]} cannot be one file in ldm "
                f"layout, which cannot say so and means {assumed}. Save it as a diffusers folder."
            )
    return None


def unread_by_comfyui(network: Any) -> str | None:
    """Why ComfyUI's own loader cannot read the ldm file of `network`, as a sentence; None where it
    can. It knows no configuration and goes by the shapes of Stable Diffusion 1.x, 2.x and SDXL; a
    Control-LoRA is built as the U-Net is that it runs with.

    Source: comfy/cldm/cldm.py (hint encoder) and comfy/supported_models.py (SD15, SD20, SDXL) of
    github.com/comfyanonymous/ComfyUI.
    """
    if type(network).__name__ == CONTROL_LORA_CLASS:
        return None
    config = network.config
    hint = tuple(config.conditioning_embedding_out_channels)
    text = set(per_level(config, "cross_attention_dim"))
    heads = per_level(config, "attention_head_dim")
    widths = tuple(config.block_out_channels)
    linear = text in ({_SD2}, {_SDXL})
    wanted = tuple(w // 64 for w in widths) if linear else (8,)
    pooled, asked = pooled_width(network), _POOLED if text == {_SDXL} else 0
    fits = (
        (hint == _COMFYUI_HINT, f"a hint encoder of {hint} channels, not {_COMFYUI_HINT}"),
        (
            text in ({_SD1}, {_SD2}, {_SDXL}),
            f"texts {max(text)} wide, not {_SD1}, {_SD2} or {_SDXL}",
        ),
        (pooled == asked, f"pooled texts {pooled} wide, not {asked}"),
        (widths[0] == _COMFYUI_CHANNELS, f"{widths[0]} channels at first, not {_COMFYUI_CHANNELS}"),
        (set(heads) == set(wanted), f"{heads} attention heads, not {wanted}"),
        (config.use_linear_projection == linear, "other projections beside its attention"),
        (config.norm_num_groups == 32, f"norms of {config.norm_num_groups} groups, not 32"),
    )
    for same, words in fits:
        if not same:
            return (
                f"ComfyUI's own loader cannot read this ControlNet, which has {words}. Load it "
                "with ControlStack, without ComfyUI."
            )
    return None


def no_single_file(network: Any) -> str | None:
    """Why a single file of `network` would be of no use to a loader, as a sentence; None where it
    can be written and read: the layout tells neither heads nor groups of norms, which a loader
    would guess wrong.
    """
    return refusal(network) or unread_by_comfyui(network)


def ldm_weights(network: Any) -> dict[str, Tensor]:
    """The weights of a ControlNetModel under their ldm names, and a Control-LoRA's as the file has
    them that its loaders read.
    """
    named = ldm_named(network.state_dict(), network.config)
    if type(network).__name__ == CONTROL_LORA_CLASS:
        named[CONTROL_LORA] = torch.zeros(0)
    return named


def ldm_named(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The `weights` of a ControlNetModel of this configuration under their ldm names."""
    layers = config["layers_per_block"]
    hint_blocks = 2 * (len(config["conditioning_embedding_out_channels"]) - 1)
    return {ldm_name(name, layers, hint_blocks): one for name, one in weights.items()}


def ldm_name(name: str, layers: int, hint_blocks: int) -> str:
    """The ldm name of a ControlNetModel's weight.

    `layers` is layers_per_block; `hint_blocks` the number of the hint encoder's inner convolutions.
    In ldm all blocks of all levels are one list, level i beginning at 1 + i (layers + 1), each
    with its parts by number: resnet or halving 0, attention 1; the hint encoder counts its SiLUs.
    Source: cldm/cldm.py of github.com/lllyasviel/ControlNet, `ControlNet.__init__`. Raises KeyError
    for a name that no ControlNet of the SD 1.x, 2.x or SDXL kind has.
    """
    if found := _BLOCK.fullmatch(name):
        level, part, layer, rest = int(found[1]), found[2], int(found[3]), found[4]
        start = 1 + level * (layers + 1)
        if part == "downsamplers":
            return f"input_blocks.{start + layers}.0.{rest.replace('conv.', 'op.', 1)}"
        if part == "resnets":
            return f"input_blocks.{start + layer}.0.{_resnet(rest)}"
        return f"input_blocks.{start + layer}.1.{rest}"
    if found := _MIDDLE.fullmatch(name):
        part, index, rest = found[1], int(found[2]), found[3]
        if part == "resnets":
            return f"middle_block.{2 * index}.{_resnet(rest)}"
        return f"middle_block.{2 * index + 1}.{rest}"
    if found := _HINT.fullmatch(name):
        index = hint_blocks if found[1] is None else int(found[1])
        return f"input_hint_block.{2 * (index + 1)}.{found[2]}"
    if found := _ZERO.fullmatch(name):
        return f"zero_convs.{found[1]}.0.{found[2]}"
    stem, _, kind = name.rpartition(".")
    return f"{_STEMS[stem]}.{kind}"


def unet_ldm_name(name: str, layers: int, attends: Sequence[bool]) -> str:
    """The ldm name of a UNet2DConditionModel's weight; `layers` and KeyError as in `ldm_name`.

    `attends` says of each level of the decoder whether it has attention. Its blocks are one list
    too, level i beginning at i (layers + 1), and what doubles the picture is the last part of its
    block. Source: ldm/modules/diffusionmodules/openaimodel.py, github.com/CompVis/stable-diffusion.
    """
    if found := _UP.fullmatch(name):
        level, part, layer, rest = int(found[1]), found[2], int(found[3]), found[4]
        start = level * (layers + 1)
        if part == "upsamplers":
            return f"output_blocks.{start + layers}.{2 if attends[level] else 1}.{rest}"
        if part == "resnets":
            return f"output_blocks.{start + layer}.0.{_resnet(rest)}"
        return f"output_blocks.{start + layer}.1.{rest}"
    stem, _, kind = name.rpartition(".")
    if stem in _UNET_STEMS:
        return f"{_UNET_STEMS[stem]}.{kind}"
    return ldm_name(name, layers, 0)


def _resnet(rest: str) -> str:
    part, _, kind = rest.partition(".")
    return f"{_RESNET[part]}.{kind}"
