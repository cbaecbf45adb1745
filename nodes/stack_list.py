"""The lists that other packs have for stacks (CONTROL_NET_STACK), as stacks of ours, and back.

efficiency-nodes-comfyui and Comfyroll make a list of (control_net, image, strength, start_percent,
end_percent), in which Comfyroll has a file's name for a net too; Easy-Use one of (name, strength,
start_percent, end_percent, scale_soft_weight, image, True). "None" for a name is passed over by
all. (`TSC_Apply_ControlNet_Stack`, `CR_ApplyControlNetStack`, Easy-Use's `applyControlnetStack`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..ground.errors import UserError, named
from ..ground.wording import listing, shown
from ..hosts import host
from ..model_patch.control import Control, ControlStack
from ..model_patch.factors import MAX_STRENGTH, Span
from ..model_patch.patch_net import PatchNet
from .line import AUTO, line

STACK = "CONTROL_STACK"
STACKS = f"{STACK},CONTROL_NET_STACK"
"""What a node takes that goes on with a stack: ours, or another pack's list."""

FORM = "(control_net, image, strength, start_percent, end_percent)"
_PLAIN = {"mode": "balanced", "area_hint": "whole", "frames": "repeat", "speed": "exact"}


def stack_of(value: Any) -> ControlStack:
    """The stack that a wire of `STACKS` brings; none for None.

    Raises:
        UserError: an entry of a list that is no control; names its number, from 1.
    """
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise UserError(f"the stack is {_kind(value)}; it has to be a list of controls.")
    stack: list[Control] = []
    for number, entry in enumerate(value, start=1):
        with named(f"entry {number} of the stack"):
            made = entry if isinstance(entry, Control) else _control(entry, len(stack) + 1)
        if made is not None:
            stack.append(made)
    return tuple(stack)


class Unlisted:
    """The entry of a list that could not be made: who takes it apart is told why.

    ComfyUI keeps what a node gave, also for a wire that is put on its output later.
    """

    def __init__(self, why: str) -> None:
        self.why = why

    def __iter__(self) -> Iterator[Any]:
        raise UserError(self.why)

    def __getitem__(self, _: Any) -> Any:
        raise UserError(self.why)


def list_or_why(stack: ControlStack) -> list[Any]:
    """As `list_of`; what it refuses is said by those who read the list, if anyone does."""
    try:
        return list_of(stack)
    except UserError as error:
        return [Unlisted(str(error))]


def list_of(stack: ControlStack) -> list[tuple[Any, Tensor, float, float, float]]:
    """The controls of a stack that are on, as other packs' list; images are (B, H, W, 3).

    Raises:
        UserError: a control with more than that has room for; names both.
    """
    return [_entry(control) for control in stack if control.enabled]


def _control(entry: Any, number: int) -> Control | None:
    if isinstance(entry, Unlisted):
        raise UserError(entry.why)
    if entry is None or (isinstance(entry, (list, tuple)) and entry[:1] in (["None"], ("None",))):
        return None
    if not isinstance(entry, (list, tuple)):
        raise UserError(f"it is {_kind(entry)}; it has to be {FORM}.")
    if len(entry) == 7 and isinstance(entry[0], str):
        net, strength, start, end, soft, image, _ = entry
        if soft != 1:
            raise UserError(
                f"its scale_soft_weight is {shown(soft)}, which a control of ours has not: set it "
                "to 1, and use Control Blocks with the rule soft weights."
            )
    elif len(entry) == 5:
        net, image, strength, start, end = entry
    else:
        raise UserError(f"it has {len(entry)} values; it has to have 5: {FORM}.")
    _require_picture(image)
    span = Span(_number("start_percent", start, 1.0), _number("end_percent", end, 1.0))
    file = net if isinstance(net, str) else ""
    return line(
        host.current().load_control_net(net) if file else net,
        image,
        number,
        file,
        strength=_number("strength", strength, MAX_STRENGTH),
        span=span,
        mode="balanced",
        area_hint="whole",
        frames="repeat",
        union_type=AUTO,
        enabled=True,
    )


def _require_picture(image: Any) -> None:
    if not isinstance(image, torch.Tensor) or image.ndim != 4:
        raise UserError(f"its image is {_kind(image)}; it has to be a picture (IMAGE).")


def _number(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise UserError(f"its {name} is {shown(value)}; it has to be from 0 to {most:g}.")
    return float(value)


def _kind(value: Any) -> str:
    """A value in words, without its numbers where they are many."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    plain = isinstance(value, (str, int, float, bool, type(None)))
    return shown(value) if plain else f"of the type {type(value).__name__}"


def _entry(control: Control) -> tuple[Any, Tensor, float, float, float]:
    more = [
        name
        for name in ("mask", "inpaint_mask", "inpaint_image")
        if getattr(control, name) is not None
    ]
    more += [
        f"{name} {getattr(control, name)}"
        for name, plain in _PLAIN.items()
        if getattr(control, name) != plain
    ]
    more += [f"union_type {','.join(control.union_types)}"] if control.union_types else []
    more += [factor.words for factor in control.also]
    if isinstance(control.net, PatchNet):
        more.append("a model patch")
    elif control.vae is not None and getattr(control.net, "latent_format", None) is not None:
        more.append("a VAE")
    span = control.span
    if more or not isinstance(span, Span):
        raise UserError(
            f"{control.name} has {listing(more or [span.words])}, and a CONTROL_NET_STACK holds "
            f"{FORM} alone: wire stack instead, or take that off."
        )
    return (control.net, control.hint.movedim(1, -1), control.strength, span.start, span.end)
