"""What conversion knows of node types: names of fields, sockets and outputs.

`tests/conversion/test_known.py` holds the pack's own against the nodes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ground.structured import Json

ROWS = "ControlStackRows"
ADD = "ControlStackAdd"
APPLY = "ControlStackApply"
APPLY_CONDITIONING = "ControlStackApplyConditioning"
LOADER = "ControlStackLoader"
CURVE, BLOCKS, SIDES = "ControlStackCurve", "ControlStackBlocks", "ControlStackSides"
CORE_APPLY, CORE_LOADER, CORE_UNION = (
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "SetUnionControlNetType",
)
STACKER, APPLY_LIST = "Control Net Stacker", "Apply ControlNet Stack"
CR_STACK, CR_APPLY = "CR Multi-ControlNet Stack", "CR Apply Multi-ControlNet"
EASY_STACK = "easy controlnetStack"

LOADERS = (CORE_LOADER, LOADER)
"""The loaders whose file can stand in a row."""

STACK_TYPE = "CONTROL_STACK,CONTROL_NET_STACK"
NETS = "CONTROL_NET,MODEL_PATCH"
FACTOR = "CONTROL_FACTOR"

_RANGE: dict[str, Json] = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
_CR: dict[str, Json] = {}
for _n in (1, 2, 3):
    _CR |= {f"switch_{_n}": "Off", f"controlnet_{_n}": "None", f"controlnet_strength_{_n}": 1.0}
    _CR |= {f"start_percent_{_n}": 0.0, f"end_percent_{_n}": 1.0}
_EASY: dict[str, Json] = {"toggle": False, "mode": "simple", "num_controlnet": 1}
for _n in (1, 2, 3):
    _EASY |= {f"controlnet_{_n}": "None", f"controlnet_{_n}_strength": 1.0}
    _EASY |= {f"start_percent_{_n}": 0.0, f"end_percent_{_n}": 1.0, f"scale_soft_weight_{_n}": 1.0}

MOST_ROWS = 16
"""Rows of one ControlNet Stack: each has sockets of its own."""

EMPTY_ROWS: dict[str, Json] = {"version": 1, "type": "controls", "rows": []}
"""A ControlNet Stack's value without a row. `type` is the input's name, by which comfy-cli finds a
value that is an object."""

FIELDS: dict[str, Mapping[str, Json]] = {
    "ControlNetApply": {"strength": 1.0},
    CORE_APPLY: _RANGE,
    "ControlNetApplySD3": _RANGE,
    "ACN_AdvancedControlNetApply": _RANGE,
    "ACN_AdvancedControlNetApply_v2": _RANGE,
    "ACN_AdvancedControlNetApplySingle": _RANGE,
    "ACN_AdvancedControlNetApplySingle_v2": _RANGE,
    CORE_LOADER: {"control_net_name": ""},
    CORE_UNION: {"type": "auto"},
    STACKER: _RANGE,
    CR_STACK: _CR,
    CR_APPLY: {"switch": "Off"},
    EASY_STACK: _EASY,
    LOADER: {"control_net_name": ""},
    ADD: {
        **_RANGE,
        "mode": "balanced",
        "area_hint": "whole",
        "frames": "repeat",
        "union_type": "auto",
        "enabled": True,
    },
    APPLY: {"record": False},
    CURVE: {"preset": "fade in", "points": "", "between": "linear", "over": "percent"},
    SIDES: {"cond": 1.0, "uncond": 1.0},
    BLOCKS: {"rule": "soft weights", "weights": ""},
    ROWS: {"controls": EMPTY_ROWS, "record": False},
}
"""The fields of each type in the order of `widgets_values`, with their defaults: other packs' as
Advanced-ControlNet 1.5, efficiency-nodes 1.0.8, Comfyroll 1.76 and Easy-Use 1.3 have them."""


@dataclass(frozen=True)
class Shape:
    """The sockets of a node to be made, with their types, and its outputs."""

    sockets: Mapping[str, str]
    outputs: Mapping[str, str]
    size: tuple[int, int]


_PROMPTS = {"positive": "CONDITIONING", "negative": "CONDITIONING"}
ROW_SOCKETS: dict[str, str] = {
    "hint": "IMAGE",
    "control_net": NETS,
    "mask": "MASK",
    "factor": FACTOR,
    "inpaint_mask": "MASK",
    "inpaint_image": "IMAGE",
}
SHAPES: dict[str, Shape] = {
    ROWS: Shape(
        {
            "model": "MODEL",
            "stack": STACK_TYPE,
            **_PROMPTS,
            "vae": "VAE",
            **{f"{name}_{n}": kind for n in range(1, 17) for name, kind in ROW_SOCKETS.items()},
        },
        {
            "model": "MODEL",
            "stack": "CONTROL_STACK",
            **_PROMPTS,
            "control_net_stack": "CONTROL_NET_STACK",
        },
        (420, 260),
    ),
    ADD: Shape(
        {
            "control_net": NETS,
            "image": "IMAGE",
            "stack": STACK_TYPE,
            "mask": "MASK",
            "vae": "VAE",
            "inpaint_mask": "MASK",
            "factor": FACTOR,
            "inpaint_image": "IMAGE",
        },
        {"stack": "CONTROL_STACK"},
        (300, 400),
    ),
    APPLY: Shape({"model": "MODEL", "stack": STACK_TYPE}, {"model": "MODEL"}, (260, 100)),
    APPLY_CONDITIONING: Shape(
        {**_PROMPTS, "stack": STACK_TYPE, "vae": "VAE"}, _PROMPTS, (320, 100)
    ),
    LOADER: Shape({}, {"control_net": NETS}, (320, 60)),
    CURVE: Shape({"factor": FACTOR, "curve": "CURVE"}, {"factor": FACTOR}, (280, 190)),
    SIDES: Shape({"factor": FACTOR}, {"factor": FACTOR}, (280, 110)),
    BLOCKS: Shape({"factor": FACTOR}, {"factor": FACTOR}, (280, 110)),
    CORE_LOADER: Shape({}, {"CONTROL_NET": "CONTROL_NET"}, (320, 60)),
    CORE_UNION: Shape({"control_net": "CONTROL_NET"}, {"CONTROL_NET": "CONTROL_NET"}, (320, 60)),
    CORE_APPLY: Shape(
        {**_PROMPTS, "control_net": "CONTROL_NET", "image": "IMAGE", "vae": "VAE"},
        _PROMPTS,
        (320, 190),
    ),
}
TITLES: dict[str, str] = {
    ROWS: "ControlNet Stack",
    ADD: "Add ControlNet",
    APPLY: "Apply ControlNet Stack",
    APPLY_CONDITIONING: "Apply ControlNet Stack to Conditioning",
    LOADER: "Load ControlNet (ControlStack)",
    CURVE: "Control Curve",
    SIDES: "Control Sides",
    BLOCKS: "Control Blocks",
}
UNION_TYPES = (
    *("openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd"),
    *("normal", "segment", "tile", "repaint"),
)
"""ComfyUI's, `comfy/cldm/control_types.py`."""
