"""The names of a ControlNet's weights in ldm layout, the one of lllyasviel's own files."""

from __future__ import annotations

import re

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
}
_BLOCK = re.compile(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_HINT = re.compile(r"controlnet_cond_embedding\.(?:blocks\.(\d+)|conv_out)\.(.+)")
_ZERO = re.compile(r"controlnet_down_blocks\.(\d+)\.(.+)")


def ldm_name(name: str, layers: int, hint_blocks: int) -> str:
    """The ldm name of a ControlNetModel's weight.

    `layers` is layers_per_block; `hint_blocks` the number of the hint encoder's inner convolutions.
    In ldm all blocks of all levels are one list, level i beginning at 1 + i (layers + 1), each
    with its parts by number: resnet or halving 0, attention 1; the hint encoder counts its SiLUs.
    Source: cldm/cldm.py of github.com/lllyasviel/ControlNet, `ControlNet.__init__`. Raises KeyError
    for a name that no ControlNet of the SD 1.x or 2.x kind has.
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


def _resnet(rest: str) -> str:
    part, _, kind = rest.partition(".")
    return f"{_RESNET[part]}.{kind}"
