"""A stack cut to some of its lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from ..ground.errors import UserError
from ..ground.wording import listing, shown
from .control import ControlStack

Do = Literal["keep", "switch off"]
DO: tuple[str, ...] = get_args(Do)


def cut(stack: ControlStack, chosen: str, do: Do) -> ControlStack:
    """`stack` with the chosen lines kept and the others switched off, or the other way round.

    Lines that are off keep their numbers and names; a line that is off already stays so.

    Args:
        chosen: numbers from 1, or parts of a net's file name in any letters, with commas; a part
            takes all lines that have it. Nothing at all changes nothing.

    Raises:
        UserError: what is no line; lists the lines.
    """
    asked = [name for one in chosen.split(",") if (name := one.strip())]
    named = {number for one in asked for number in _found(stack, one)}
    off = {number for number in range(len(stack)) if (number in named) == (do == "switch off")}
    return tuple(
        replace(control, enabled=False) if asked and number in off else control
        for number, control in enumerate(stack)
    )


def _found(stack: ControlStack, asked: str) -> list[int]:
    """The numbers, from 0, of the lines that `asked` names."""
    if asked.isdecimal():
        numbers = [number for number in range(len(stack)) if str(number + 1) == asked.lstrip("0")]
    else:
        names = [(control.file or control.name).lower() for control in stack]
        numbers = [number for number, name in enumerate(names) if asked.lower() in name]
    if not numbers:
        raise UserError(
            f"the stack has no line {shown(asked)}: it has {listing(c.name for c in stack)}; write "
            "a number from 1, or a part of a file's name."
        )
    return numbers
