"""Easy-Use's stack of ControlNets; its pipes are not here.

By https://github.com/yolain/ComfyUI-Easy-Use (1.3.6), `py/nodes/loaders.py`.
"""

from __future__ import annotations

from typing import Any

from ..core_nodes.controlnet import RANGE
from ..core_nodes.declare import integer, model_file, number
from .declare import nodes_of
from .stacks import NONE, WEIGHT, Entries, kept, require

ROWS = (1, 2, 3)


def _rows() -> dict[str, Any]:
    found: dict[str, Any] = {"optional_controlnet_stack": "CONTROL_NET_STACK"}
    for n in ROWS:
        found |= {
            f"controlnet_{n}": model_file("controlnet", NONE, default=NONE),
            f"controlnet_{n}_strength": WEIGHT,
            **{f"{field}_{n}": declared for field, declared in RANGE.items()},
            f"scale_soft_weight_{n}": number(1.0, 0.0, 1.0, 0.001),
            f"image_{n}": "IMAGE",
        }
    return found


def _check(**given: Any) -> None:
    rows = range(1, (given.get("num_controlnet") or len(ROWS)) + 1)
    if given.get("toggle") in (True, None):
        require(*(given.get(f"controlnet_{n}") for n in rows))


@nodes_of("ComfyUI-Easy-Use")(
    "easy controlnetStack",
    "EasyUse/Loaders",
    {
        "toggle": ("BOOLEAN", {"label_on": "enabled", "label_off": "disabled"}),
        "mode": ["simple", "advanced"],
        "num_controlnet": integer(1, 1, len(ROWS)),
    },
    "CONTROL_NET_STACK",
    optional=_rows(),
    check=_check,
    checked=("toggle", "num_controlnet", *(f"controlnet_{n}" for n in ROWS)),
    RETURN_NAMES=("controlnet_stack",),
)
def stack(
    toggle: bool,
    mode: str,
    num_controlnet: int,
    optional_controlnet_stack: Entries | None = None,
    **given: Any,
) -> Entries | None:
    """Controls by their files, behind those of another list, in that pack's form of seven values.

    Ranges count in the mode "advanced" alone.
    """
    if not toggle:
        return optional_controlnet_stack
    made = kept(optional_controlnet_stack)
    for n in range(1, num_controlnet + 1):
        name = given.get(f"controlnet_{n}", NONE)
        if name == NONE:
            continue
        whole = (0.0, 1.0)
        asked = (given.get(f"start_percent_{n}", 0.0), given.get(f"end_percent_{n}", 1.0))
        span = asked if mode == "advanced" else whole
        strength, soft = given.get(f"controlnet_{n}_strength", 1.0), f"scale_soft_weight_{n}"
        made.append((name, strength, *span, given.get(soft, 1.0), given.get(f"image_{n}"), True))
    return made
