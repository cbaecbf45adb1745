"""Networks built from configurations that somebody else wrote: how large they may become."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .memory import require_memory
from .wording import shown

if TYPE_CHECKING:
    from torch import nn

MAX_NUMBER = 1 << 20
"""The largest whole number in a configuration, and the largest sum of a list of them: vocabularies,
the largest, have some hundred thousand words."""
MAX_PARTS = 10_000
"""Modules and parameters of one network; SDXL's U-Net has 3,600."""


def check_numbers(config: Any, source: object) -> None:
    """Raise UserError where a configuration, as JSON has it, holds a number that no model's size
    is: loops and lists would follow it.
    """
    waiting = [("", config)]
    while waiting:
        name, value = waiting.pop()
        size = value
        if isinstance(value, (list, tuple)):
            numbers = [item for item in value if type(item) is int]
            size = max(sum(map(abs, numbers)), len(value))
        if type(size) is int and abs(size) > MAX_NUMBER:
            raise UserError(
                f"{source} asks for {shown(name)} of {shown(size)}, and no model has more than "
                f"{MAX_NUMBER}; fetch it again"
            )
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, (list, tuple)):
            waiting += [(name, item) for item in value]


@contextmanager
def of_real_size(source: object) -> Iterator[None]:
    """Raise UserError, naming `source`, as soon as a network that is built inside the block has
    more than MAX_PARTS parts or one that takes more memory than there is.

    Whatever loop of a library makes them, torch tells of every part.
    """
    from torch.nn.modules import module as registering

    thread, parts = threading.get_ident(), 0

    def count(owner: nn.Module, name: str, part: Any) -> None:
        nonlocal parts
        if threading.get_ident() != thread:
            return
        parts += 1
        if parts > MAX_PARTS:
            raise UserError(
                f"{source} asks for more than {MAX_PARTS} layers and weights, and no model has so "
                "many; fetch it again"
            )
        data = getattr(part, "data", None)
        if data is not None and not data.is_meta:  # not filled yet, so that it takes nothing yet
            require_memory(data.numel() * data.element_size(), f"the network of {source}")

    hooks = (
        registering.register_module_module_registration_hook(count),
        registering.register_module_parameter_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
