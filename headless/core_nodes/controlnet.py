"""The core's nodes that hang a ControlNet on a conditioning."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...model_patch.union import ARGUMENT, SDXL_TYPES
from ..models.control_base import ControlBase
from ..sampling.conditioning import Conditioning
from .declare import Input, core_node, number

STRENGTH = number(1.0, 0.0, 10.0, 0.01)
RANGE = {
    "start_percent": number(0.0, 0.0, 1.0, 0.001),
    "end_percent": number(1.0, 0.0, 1.0, 0.001),
}
AMOUNT: dict[str, Input] = {"strength": STRENGTH, **RANGE}
PROMPTS: dict[str, Input] = {"positive": "CONDITIONING", "negative": "CONDITIONING"}
CONTROLLED: dict[str, Input] = {"control_net": "CONTROL_NET", "image": "IMAGE", **AMOUNT}
"""What the nodes that hang a net on a conditioning share, here and in other packs."""


@core_node(
    "ControlNetApply",
    "conditioning/controlnet",
    {
        "conditioning": "CONDITIONING",
        "control_net": "CONTROL_NET",
        "image": "IMAGE",
        "strength": STRENGTH,
    },
    "CONDITIONING",
    DEPRECATED=True,
)
def apply(
    conditioning: Conditioning, control_net: ControlBase, image: Tensor, strength: float
) -> Conditioning:
    """One conditioning, controlled on both sides of the guidance; the core calls it deprecated.

    The net, with hint `image` (B, H, W, 3), is chained after the control that is there.
    """
    if strength == 0:
        return conditioning
    controlled: Conditioning = []
    for text, options in conditioning:
        net = control_net.copy().set_cond_hint(image.movedim(-1, 1), strength)
        net = net.set_previous_controlnet(options.get("control"))
        controlled.append([text, {**options, "control": net, "control_apply_to_uncond": True}])
    return controlled


@core_node(
    "ControlNetApplyAdvanced",
    "conditioning/controlnet",
    {**PROMPTS, **CONTROLLED},
    *("CONDITIONING", "CONDITIONING"),
    optional={"vae": "VAE"},
    RETURN_NAMES=("positive", "negative"),
)
def apply_advanced(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlBase,
    image: Tensor,
    strength: float,
    start_percent: float,
    end_percent: float,
    vae: object = None,
) -> tuple[Conditioning, Conditioning]:
    """Both sides of the guidance under one ControlNet, for a part of the sampling.

    The net, with hint `image` (B, H, W, 3), is chained after the control that is there. Entries
    that had the same control before share one net after: it is what lets the sampler run both
    sides in one batch.
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


@core_node(
    "ControlNetApplySD3",
    "conditioning/controlnet",
    {
        **PROMPTS,
        "control_net": "CONTROL_NET",
        "vae": "VAE",
        "image": "IMAGE",
        **AMOUNT,
    },
    *("CONDITIONING", "CONDITIONING"),
    RETURN_NAMES=("positive", "negative"),
)
def apply_with_vae(**inputs: Any) -> tuple[Conditioning, Conditioning]:
    """As ControlNetApplyAdvanced, with a VAE always: no net of SD 1.5 or SDXL asks for it."""
    return apply_advanced(**inputs)


@core_node(
    "ControlNetInpaintingAliMamaApply",
    "conditioning/controlnet",
    {
        **PROMPTS,
        "control_net": "CONTROL_NET",
        "vae": "VAE",
        "image": "IMAGE",
        "mask": "MASK",
        **AMOUNT,
    },
    *("CONDITIONING", "CONDITIONING"),
    RETURN_NAMES=("positive", "negative"),
)
def apply_inpainting(mask: Tensor, **inputs: Any) -> tuple[Conditioning, Conditioning]:
    """As ControlNetApplyAdvanced: ComfyUI gives the mask to SD 3's and Flux' inpainting nets alone,
    and no net of SD 1.5 or SDXL takes one.
    """
    return apply_advanced(**inputs)


@core_node(
    "SetUnionControlNetType",
    "conditioning/controlnet",
    {"control_net": "CONTROL_NET", "type": ["auto", *SDXL_TYPES]},
    "CONTROL_NET",
)
def set_union_type(control_net: ControlBase, type: str) -> ControlBase:
    """What kind of hint a union ControlNet is given; UserError where the net is no union net."""
    net = control_net.copy()
    net.set_extra_arg(ARGUMENT, [] if type == "auto" else [SDXL_TYPES.index(type)])
    return net
