"""Lists of controls (CONTROL_NET_STACK) as other packs' nodes apply them: the core's chain."""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import Tensor

from ...ground.errors import UserError, named
from ...model_patch.conditioning import Conditioning
from ...model_patch.control import Control
from ...nodes.stack_list import Unlisted, list_of, stack_of
from ..core_nodes.controlnet import apply_advanced
from ..core_nodes.declare import number
from .core import core, require_core

NONE = "None"
"""What those packs' menus of files begin with, and a list has for a net that is none."""
WEIGHT = number(1.0, -10.0, 10.0, 0.01)

Entries: TypeAlias = list[Any]
"""(control_net or the name of a file, image, strength, start_percent, end_percent), each."""


def kept(entries: list[Any] | None) -> list[Any]:
    """What a node that puts more on a list takes over of it: all but what names no file. What is
    wrong with an entry is said where it is applied."""
    return [
        entry
        for entry in entries or ()
        if not (isinstance(entry, (tuple, list)) and len(entry) > 0 and entry[0] == NONE)
    ]


def applied(
    entries: Entries | None, positive: Conditioning, negative: Conditioning
) -> tuple[Conditioning, ...]:
    """Both prompts under each of the entries, the first first.

    A list of this pack's own node goes the same way; strengths below 0 are those packs' own.
    Raises UserError for an entry that is none, with its number.
    """
    for place, entry in enumerate(entries or (), start=1):
        with named(f"entry {place} of the stack"):
            net, image, strength, start, end = _parts(entry)
            positive, negative = apply_advanced(
                positive, negative, net, image, strength, start, end
            )
    return positive, negative


def _parts(entry: Any) -> tuple[Any, Tensor, float, float, float]:
    if isinstance(entry, Control):
        (entry,) = list_of((entry,))
    if isinstance(entry, Unlisted) or not (isinstance(entry, tuple) and len(entry) == 5):
        stack_of([entry])  # says what is wrong with it
        raise UserError("it is of another pack's form; apply it with a node of that pack")
    net, *others = entry
    if isinstance(net, str):
        net = loaded(net)
    return (net, *others)


def loaded(name: str) -> Any:
    """The ControlNet of a file, as the core's loader gives it."""
    return core("ControlNetLoader", control_net_name=name)[0]


def require(*names: str | None) -> None:
    """Raise UserError for files that the core's loader refuses; None and NONE are none."""
    for name in names:
        if name not in (None, NONE):
            require_core("ControlNetLoader", control_net_name=name)
