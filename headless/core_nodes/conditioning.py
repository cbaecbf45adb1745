"""The core's nodes that make conditioning from text and mix it; the rest are in `regions`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models import prompt
from ..models.clip import Clip
from ..resize import MAX_RESOLUTION
from ..sampling.conditioning import Conditioning
from .declare import core_node, integer, number


@core_node(
    "CLIPTextEncode",
    "conditioning",
    {
        "text": ("STRING", {"multiline": True, "dynamicPrompts": True, "tooltip": "The prompt."}),
        "clip": ("CLIP", {"tooltip": "The CLIP that encodes it."}),
    },
    "CONDITIONING",
    check=lambda text: prompt.parse(text),
    OUTPUT_TOOLTIPS=("The encoded text.",),
    DESCRIPTION="Encodes a prompt with CLIP, to guide a model towards what it says.",
)
def encode_text(clip: Clip, text: str) -> Conditioning:
    """A prompt, its weights and length as `Clip.encode` takes them, as CONDITIONING."""
    return clip.encode(text)


_TEXT = ("STRING", {"multiline": True, "dynamicPrompts": True})
_SIDE = {"least": 0, "most": MAX_RESOLUTION}


@core_node(
    "CLIPTextEncodeSDXL",
    "advanced/conditioning",
    {
        "clip": "CLIP",
        "width": integer(1024, **_SIDE),
        "height": integer(1024, **_SIDE),
        "crop_w": integer(0, **_SIDE, advanced=True),
        "crop_h": integer(0, **_SIDE, advanced=True),
        "target_width": integer(1024, **_SIDE),
        "target_height": integer(1024, **_SIDE),
        "text_g": _TEXT,
        "text_l": _TEXT,
    },
    "CONDITIONING",
    check=lambda text_g, text_l: (prompt.parse(text_g), prompt.parse(text_l)),
)
def encode_texts(clip: Clip, text_g: str, text_l: str, **sizes: int) -> Conditioning:
    """A text for each of SDXL's encoders, and the sizes it was trained to be told, in pixels."""
    return [
        [text, {**settings, **sizes}]
        for text, settings in clip.encode_each({"g": text_g, "l": text_l})
    ]


@core_node(
    "CLIPSetLastLayer",
    "conditioning",
    {"clip": "CLIP", "stop_at_clip_layer": integer(-1, -24, -1, 1)},
    "CLIP",
)
def set_last_layer(clip: Clip, stop_at_clip_layer: int) -> Clip:
    """CLIP skip: a CLIP that stops at this layer, -1 being the last."""
    clip = clip.clone()
    clip.clip_layer(stop_at_clip_layer)
    return clip


@core_node(
    "ConditioningCombine",
    "conditioning",
    {"conditioning_1": "CONDITIONING", "conditioning_2": "CONDITIONING"},
    "CONDITIONING",
)
def combine(conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """The entries of both: their predictions are averaged."""
    return conditioning_1 + conditioning_2


@core_node(
    "ConditioningAverage",
    "conditioning",
    {
        "conditioning_to": "CONDITIONING",
        "conditioning_from": "CONDITIONING",
        "conditioning_to_strength": number(1.0, 0.0, 1.0, 0.01),
    },
    "CONDITIONING",
)
def average(
    conditioning_to: Conditioning, conditioning_from: Conditioning, conditioning_to_strength: float
) -> Conditioning:
    """A text between two: each entry of `conditioning_to` mixed with the first of
    `conditioning_from`, which is cut or filled with zeros to its number of tokens.
    """
    text_from, settings_from = conditioning_from[0]
    pooled_from = settings_from.get("pooled_output")

    def mixed(to: Tensor, other: Tensor) -> Tensor:
        return to * conditioning_to_strength + other * (1.0 - conditioning_to_strength)

    result = []
    for text, settings in conditioning_to:
        pooled = settings.get("pooled_output")
        if pooled is not None and pooled_from is not None:
            pooled = mixed(pooled, pooled_from)
        elif pooled is None:
            pooled = pooled_from
        changed = {} if pooled is None else {"pooled_output": pooled}
        both = mixed(text, _with_tokens(text_from, text.shape[1]))
        result.append([both, {**settings, **changed}])
    return result


@core_node(
    "ConditioningConcat",
    "conditioning",
    {"conditioning_to": "CONDITIONING", "conditioning_from": "CONDITIONING"},
    "CONDITIONING",
)
def concat(conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """The first text of `conditioning_from` after each of `conditioning_to`, seen together."""
    tail = conditioning_from[0][0]
    return [[torch.cat([text, tail], dim=1), dict(s)] for text, s in conditioning_to]


@core_node(
    "ConditioningZeroOut",
    "advanced/conditioning",
    {"conditioning": "CONDITIONING"},
    "CONDITIONING",
)
def zero_out(conditioning: Conditioning) -> Conditioning:
    """No text at all, which is not the empty prompt: zeros for each, and for its pooled output."""
    result = []
    for text, settings in conditioning:
        pooled = settings.get("pooled_output")
        zeros = {} if pooled is None else {"pooled_output": torch.zeros_like(pooled)}
        result.append([torch.zeros_like(text), {**settings, **zeros}])
    return result


def _with_tokens(text: Tensor, tokens: int) -> Tensor:
    """Cut a text (B, T, C) to `tokens`, or fill it with zeros."""
    missing = max(0, tokens - text.shape[1])
    return torch.nn.functional.pad(text[:, :tokens], (0, 0, 0, missing))
