"""The core's nodes that make conditioning from text and mix it; the rest are in `regions`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..models import prompt
from ..models.clip import Clip
from . import regions

Conditioning = list[list[Any]]


class CLIPTextEncode:
    """A prompt as CONDITIONING."""

    RETURN_TYPES = ("CONDITIONING",)
    OUTPUT_TOOLTIPS: ClassVar = ("The encoded text.",)
    FUNCTION = "encode"
    CATEGORY = "conditioning"
    DESCRIPTION = "Encodes a prompt with CLIP, to guide a model towards what it says."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        options = {"multiline": True, "dynamicPrompts": True, "tooltip": "The prompt."}
        return {
            "required": {
                "text": ("STRING", options),
                "clip": ("CLIP", {"tooltip": "The CLIP that encodes it."}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, text: str) -> bool:
        """Whether `text` is a prompt that can be encoded; raises UserError as `prompt.parse`."""
        prompt.parse(text)
        return True

    def encode(self, clip: Clip, text: str) -> tuple[Conditioning]:
        """Encode `text`, its weights and length as `Clip.encode` takes them."""
        return (clip.encode(text),)


class CLIPSetLastLayer:
    """CLIP skip."""

    RETURN_TYPES = ("CLIP",)
    FUNCTION = "set_last_layer"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        layer = {"default": -1, "min": -24, "max": -1, "step": 1}
        return {"required": {"clip": ("CLIP",), "stop_at_clip_layer": ("INT", layer)}}

    def set_last_layer(self, clip: Clip, stop_at_clip_layer: int) -> tuple[Clip]:
        """Return a CLIP that stops at this layer, -1 being the last."""
        clip = clip.clone()
        clip.clip_layer(stop_at_clip_layer)
        return (clip,)


class ConditioningCombine:
    """Both: their predictions are averaged."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "combine"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        one = ("CONDITIONING",)
        return {"required": {"conditioning_1": one, "conditioning_2": one}}

    def combine(
        self, conditioning_1: Conditioning, conditioning_2: Conditioning
    ) -> tuple[Conditioning]:
        """Return the entries of both."""
        return (conditioning_1 + conditioning_2,)


class ConditioningAverage:
    """A text between two."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "addWeighted"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        share = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "conditioning_to": ("CONDITIONING",),
                "conditioning_from": ("CONDITIONING",),
                "conditioning_to_strength": ("FLOAT", share),
            }
        }

    def addWeighted(  # noqa: N802 - the core's name
        self,
        conditioning_to: Conditioning,
        conditioning_from: Conditioning,
        conditioning_to_strength: float,
    ) -> tuple[Conditioning]:
        """Mix each entry of `conditioning_to` with the first of `conditioning_from`, which is cut
        or filled with zeros to its number of tokens.
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
        return (result,)


class ConditioningConcat:
    """One text after the other, seen together."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "concat"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        one = ("CONDITIONING",)
        return {"required": {"conditioning_to": one, "conditioning_from": one}}

    def concat(
        self, conditioning_to: Conditioning, conditioning_from: Conditioning
    ) -> tuple[Conditioning]:
        """Append the first text of `conditioning_from` to each text of `conditioning_to`."""
        tail = conditioning_from[0][0]
        return ([[torch.cat([text, tail], dim=1), dict(s)] for text, s in conditioning_to],)


class ConditioningZeroOut:
    """No text at all, which is not the empty prompt."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "zero_out"
    CATEGORY = "advanced/conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"conditioning": ("CONDITIONING",)}}

    def zero_out(self, conditioning: Conditioning) -> tuple[Conditioning]:
        """Replace each text, and its pooled output, by zeros."""
        result = []
        for text, settings in conditioning:
            pooled = settings.get("pooled_output")
            zeros = {} if pooled is None else {"pooled_output": torch.zeros_like(pooled)}
            result.append([torch.zeros_like(text), {**settings, **zeros}])
        return (result,)


def _with_tokens(text: Tensor, tokens: int) -> Tensor:
    """Cut a text (B, T, C) to `tokens`, or fill it with zeros."""
    missing = max(0, tokens - text.shape[1])
    return torch.nn.functional.pad(text[:, :tokens], (0, 0, 0, missing))


CORE_NODES = {
    "CLIPTextEncode": CLIPTextEncode,
    "CLIPSetLastLayer": CLIPSetLastLayer,
    "ConditioningCombine": ConditioningCombine,
    "ConditioningAverage": ConditioningAverage,
    "ConditioningConcat": ConditioningConcat,
    "ConditioningZeroOut": ConditioningZeroOut,
    **regions.CORE_NODES,
}
