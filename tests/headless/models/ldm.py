"""Diffusers' names to CompVis' ("ldm"), the way back from what the loaders do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

Rules = tuple[tuple[str, str], ...]

RESNET: Rules = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
STEMS: Rules = (
    ("controlnet_cond_embedding.conv_in", "input_hint_block.0"),
    ("controlnet_cond_embedding.conv_out", "input_hint_block.14"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
    ("mid_block.resnets.0", "middle_block.0"),
    ("mid_block.attentions.0", "middle_block.1"),
    ("mid_block.resnets.1", "middle_block.2"),
    ("controlnet_mid_block", "middle_block_out.0"),
)
VAE: Rules = (
    ("mid_block.resnets.0", "mid.block_1"),
    ("mid_block.resnets.1", "mid.block_2"),
    ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
    ("mid_block.attentions.0.to_q", "mid.attn_1.q"),
    ("mid_block.attentions.0.to_k", "mid.attn_1.k"),
    ("mid_block.attentions.0.to_v", "mid.attn_1.v"),
    ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
    ("conv_norm_out", "norm_out"),
    ("conv_shortcut", "nin_shortcut"),
)


def unet_names(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """A U-Net's or ControlNet's tensors under CompVis' names; `layers` a level."""
    attends = {name.split(".")[1] for name in state if re.match(r"up_blocks.\d+.attentions", name)}
    return {_unet_name(name, layers, attends): tensor for name, tensor in state.items()}


def vae_names(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """An AutoencoderKL's tensors under CompVis' names; its attention as 1x1 convolutions."""
    renamed = {}
    for name, tensor in state.items():
        new = _replaced(name, VAE)
        new = re.sub(r"encoder.down_blocks.(\d+).resnets", r"encoder.down.\1.block", new)
        new = re.sub(
            r"encoder.down_blocks.(\d+).downsamplers.0", r"encoder.down.\1.downsample", new
        )
        up = re.match(r"decoder.up_blocks.(\d+).(resnets|upsamplers)(.*)", new)
        if up:
            level = levels - 1 - int(up[1])
            tail = f"block{up[3]}" if up[2] == "resnets" else f"upsample{up[3][2:]}"
            new = f"decoder.up.{level}.{tail}"
        conv = ".attn_1." in new and tensor.ndim == 2
        renamed[new] = tensor[:, :, None, None] if conv else tensor
    return renamed


def _unet_name(name: str, layers: int, attends: set[str]) -> str:
    per_level = layers + 1
    block = re.match(
        r"(down|up)_blocks.(\d+).(resnets|attentions|downsamplers|upsamplers).(\d+)", name
    )
    if block:
        level, layer = int(block[2]), int(block[4])
        rest = name[block.end() :]
        start = level * per_level + (1 if block[1] == "down" else 0)
        side = "input_blocks" if block[1] == "down" else "output_blocks"
        if block[3] == "resnets":
            return f"{side}.{start + layer}.0{_replaced(rest, RESNET)}"
        if block[3] == "attentions":
            return f"{side}.{start + layer}.1{rest}"
        if block[3] == "downsamplers":
            return f"{side}.{start + layers}.0.op{rest.removeprefix('.conv')}"
        return f"{side}.{start + layers}.{2 if block[2] in attends else 1}{rest}"
    zero = re.match(r"controlnet_down_blocks.(\d+)(.*)", name)
    if zero:
        return f"zero_convs.{zero[1]}.0{zero[2]}"
    hint = re.match(r"controlnet_cond_embedding.blocks.(\d+)(.*)", name)
    if hint:
        return f"input_hint_block.{2 * (int(hint[1]) + 1)}{hint[2]}"
    renamed = _replaced(name, STEMS)
    resnet = renamed.startswith(("middle_block.0.", "middle_block.2."))
    return _replaced(renamed, RESNET) if resnet else renamed


def _replaced(name: str, rules: Rules) -> str:
    for old, new in rules:
        if name.startswith(old) or f".{old}." in name or name.startswith(f".{old}"):
            return name.replace(old, new, 1)
    return name
