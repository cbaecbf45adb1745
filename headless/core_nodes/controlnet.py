"""The core's nodes that hang a ControlNet on a conditioning."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..models.control_base import ControlBase

Conditioning = list[list[Any]]

UNION_TYPES = (
    "openpose",
    "depth",
    "hed/pidi/scribble/ted",
    "canny/lineart/anime_lineart/mlsd",
    "normal",
    "segment",
    "tile",
    "repaint",
)
"""Control types of union nets in the order of their indices (xinsir/controlnet-union-sdxl-1.0)."""

_STRENGTH = ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.01})


class ControlNetApply:
    """One conditioning, controlled on both sides of the guidance; the core calls it deprecated."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "apply_controlnet"
    DEPRECATED = True
    CATEGORY = "conditioning/controlnet"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {
            "required": {
                "conditioning": ("CONDITIONING",),
                "control_net": ("CONTROL_NET",),
                "image": ("IMAGE",),
                "strength": _STRENGTH,
            }
        }

    def apply_controlnet(
        self, conditioning: Conditioning, control_net: ControlBase, image: Tensor, strength: float
    ) -> tuple[Conditioning]:
        """Chain the net, with hint `image` (B, H, W, 3), after the control that is there."""
        if strength == 0:
            return (conditioning,)
        controlled: Conditioning = []
        for text, options in conditioning:
            net = control_net.copy().set_cond_hint(image.movedim(-1, 1), strength)
            net.set_previous_controlnet(options.get("control"))
            controlled.append([text, {**options, "control": net, "control_apply_to_uncond": True}])
        return (controlled,)


class ControlNetApplyAdvanced:
    """Both sides of the guidance under one ControlNet, for a part of the sampling."""

    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    FUNCTION = "apply_controlnet"
    CATEGORY = "conditioning/controlnet"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        start = {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.001}
        end = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.001}
        return {
            "required": {
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "control_net": ("CONTROL_NET",),
                "image": ("IMAGE",),
                "strength": _STRENGTH,
                "start_percent": ("FLOAT", start),
                "end_percent": ("FLOAT", end),
            },
            "optional": {"vae": ("VAE",)},
        }

    def apply_controlnet(
        self,
        positive: Conditioning,
        negative: Conditioning,
        control_net: ControlBase,
        image: Tensor,
        strength: float,
        start_percent: float,
        end_percent: float,
        vae: object = None,
    ) -> tuple[Conditioning, Conditioning]:
        """Chain the net, with hint `image` (B, H, W, 3), after the control that is there.

        Entries that had the same control before share one net after: it is what lets the sampler
        run both sides in one batch.
        """
        if strength == 0:
            return (positive, negative)
        span = (start_percent, end_percent)
        nets: dict[ControlBase | None, ControlBase] = {}

        def after(previous: ControlBase | None) -> ControlBase:
            if previous not in nets:
                net = control_net.copy()
                net.set_cond_hint(image.movedim(-1, 1), strength, span, vae=vae)
                nets[previous] = net.set_previous_controlnet(previous)
            return nets[previous]

        def controlled(conditioning: Conditioning) -> Conditioning:
            return [
                [
                    text,
                    {
                        **options,
                        "control": after(options.get("control")),
                        "control_apply_to_uncond": False,
                    },
                ]
                for text, options in conditioning
            ]

        return (controlled(positive), controlled(negative))


class SetUnionControlNetType:
    """What kind of hint a union ControlNet is given."""

    RETURN_TYPES = ("CONTROL_NET",)
    FUNCTION = "set_controlnet_type"
    CATEGORY = "conditioning/controlnet"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"control_net": ("CONTROL_NET",), "type": (["auto", *UNION_TYPES],)}}

    def set_controlnet_type(self, control_net: ControlBase, type: str) -> tuple[ControlBase]:
        """A copy of the net with the type set; UserError where the net is no union net."""
        net = control_net.copy()
        net.set_extra_arg("control_type", [] if type == "auto" else [UNION_TYPES.index(type)])
        return (net,)


CORE_NODES = {
    "ControlNetApply": ControlNetApply,
    "ControlNetApplyAdvanced": ControlNetApplyAdvanced,
    "SetUnionControlNetType": SetUnionControlNetType,
}
