"""The two networks of a training step as torch compiles them."""

from __future__ import annotations

from typing import Any

import torch

from ..ground.errors import UserError
from ..ground.wording import first_line


def compiled(unet: Any, network: Any, wanted: bool) -> tuple[Any, Any]:
    """The two networks as torch compiles them where these are called, if `wanted`. They themselves
    stay as they are, and run so wherever else they are called.

    Raises UserError where this machine cannot compile.
    """
    if not wanted:
        return unet, network
    _try_out(next(network.parameters()).device)
    return torch.compile(unet), torch.compile(network)


def _try_out(device: torch.device) -> None:
    """Compile a small function first: what is missing is said before a run has begun."""
    try:
        torch.compile(lambda numbers: numbers.sin() + 1)(torch.zeros(8, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        raise UserError(
            f"torch cannot compile on this machine ({first_line(error)}): install a C++ compiler, "
            "on a GPU also triton, or leave compile off."
        ) from error
