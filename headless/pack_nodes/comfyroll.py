"""Comfyroll's nodes of ControlNets.

By https://github.com/Suzie1/ComfyUI_Comfyroll_CustomNodes (1.76), `nodes/nodes_controlnet.py`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...model_patch.conditioning import Conditioning
from ..core_nodes.controlnet import RANGE, STRENGTH, apply
from ..core_nodes.declare import model_file
from ..models.control_base import ControlBase
from .declare import nodes_of
from .stacks import NONE, WEIGHT, Entries, applied, kept, loaded, require

cr_node = nodes_of("ComfyUI_Comfyroll_CustomNodes")

MENU = "🧩 Comfyroll Studio/✨ Essential/🕹️ ControlNet"
OFF, ON = "Off", "On"
ROWS = (1, 2, 3)
_NUMBERS = {"controlnet_strength": WEIGHT, **RANGE}

_HELP = "https://github.com/Suzie1/ComfyUI_Comfyroll_CustomNodes/wiki/ControlNet-Nodes#cr-{}"


def _rows() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n in ROWS:
        found |= {
            f"switch_{n}": [OFF, ON],
            f"controlnet_{n}": model_file("controlnet", NONE),
            **{f"{field}_{n}": declared for field, declared in _NUMBERS.items()},
        }
    return found


@cr_node(
    "CR Apply ControlNet",
    MENU,
    {
        "conditioning": "CONDITIONING",
        "control_net": "CONTROL_NET",
        "image": "IMAGE",
        "switch": [ON, OFF],
        "strength": STRENGTH,
    },
    *("CONDITIONING", "STRING"),
    RETURN_NAMES=("CONDITIONING", "show_help"),
)
def apply_one(
    conditioning: Conditioning,
    control_net: ControlBase,
    image: Tensor,
    switch: str,
    strength: float,
) -> tuple[Conditioning, str]:
    """One prompt under one ControlNet, and not the negative one beside it."""
    told = _HELP.format("apply-controlnet")
    if switch == OFF or strength == 0:
        return conditioning, told
    made = []
    for (text, before), (_, after) in zip(
        conditioning, apply(conditioning, control_net, image, strength), strict=True
    ):
        marks = {name: before[name] for name in (_MARK,) if name in before}
        kept = {name: value for name, value in after.items() if name != _MARK}
        made.append([text, {**kept, **marks}])
    return made, told


_MARK = "control_apply_to_uncond"
"""What the core's node sets, and Comfyroll's leaves as it is."""


def _check(**given: Any) -> None:
    require(*(given.get(f"controlnet_{n}") for n in ROWS if given.get(f"switch_{n}") == ON))


@cr_node(
    "CR Multi-ControlNet Stack",
    MENU,
    {},
    *("CONTROL_NET_STACK", "STRING"),
    optional={
        **_rows(),
        **{f"image_{n}": "IMAGE" for n in ROWS},
        "controlnet_stack": "CONTROL_NET_STACK",
    },
    check=_check,
    checked=[f"{name}_{n}" for n in ROWS for name in ("switch", "controlnet")],
    RETURN_NAMES=("CONTROLNET_STACK", "show_help"),
)
def stack(controlnet_stack: Entries | None = None, **given: Any) -> tuple[Entries, str]:
    """Up to three controls with a switch each, behind those of another list; one without a picture
    is left out."""
    made = kept(controlnet_stack)
    for n in ROWS:
        net, image = given.get(f"controlnet_{n}", NONE), given.get(f"image_{n}")
        if net == NONE or image is None or given.get(f"switch_{n}", OFF) == OFF:
            continue
        # All of that node's fields are optional: a prompt may leave one out.
        numbers = (given.get(f"{name}_{n}", one["default"]) for name, (_, one) in _NUMBERS.items())
        made.append((loaded(net), image, *numbers))
    return made, _HELP.format("multi-controlnet-stack")


@cr_node(
    "CR Apply Multi-ControlNet",
    MENU,
    {
        "base_positive": "CONDITIONING",
        "base_negative": "CONDITIONING",
        "switch": [OFF, ON],
        "controlnet_stack": "CONTROL_NET_STACK",
    },
    *("CONDITIONING", "CONDITIONING", "STRING"),
    RETURN_NAMES=("base_pos", "base_neg", "show_help"),
)
def apply_stack(
    base_positive: Conditioning,
    base_negative: Conditioning,
    switch: str,
    controlnet_stack: Entries | None = None,
) -> tuple[Any, ...]:
    """Both prompts under the controls of a list."""
    entries = controlnet_stack if switch == ON else None
    prompts = applied(entries, base_positive, base_negative)
    return (*prompts, _HELP.format("apply-multi-controlnet-stack"))
