"""Gives a ControlNet to another base model without training: control + new base - old base."""

from __future__ import annotations

import copy
from typing import Any

import torch

from ..ground.errors import UserError
from .base_fit import check_fits
from .ldm_layout import CONTROL_LORA_CLASS
from .trainable import is_copied, started_from


def begun_from(network: Any, kind: str, name: str, unet: Any, old_unet: Any | None = None) -> Any:
    """A copy of an existing `network`, called `name`, to be trained on `unet`; in fp32.

    Where it was trained on another base, `old_unet`, it is moved from that first. `kind` is what
    the settings say it is (`NetSettings`). Raises UserError for another kind, and as `transferred`
    and `started_from` do.
    """
    found = _KINDS.get(type(network).__name__, _COPIES)
    if kind not in found:
        raise UserError(
            f"{name}, which start_from names, is of the kind {found[0]}, and the network's kind is "
            f"{kind}; give both alike."
        )
    if old_unet is not None:
        network = transferred(network, old_unet, unet)
    return started_from(network, unet)


_COPIES = ("controlnet", "gaussian")
_KINDS = {"LiteControlNet": ("lite",), CONTROL_LORA_CLASS: ("control_lora",)}
"""The kinds that a network to start from may be called, by its class."""


@torch.no_grad()
def transferred(network: Any, old_unet: Any, new_unet: Any) -> Any:
    """A copy of `network`, trained on `old_unet`, that suits `new_unet`; in fp32, on its device.

    What training changed is kept as a difference to the old encoder and put on the new one; zero
    convolutions and hint encoder stay. A base for inpainting gives the input channels of its
    latent. Raises UserError, naming the difference, where the three do not fit each other.

    Source of the idea: L. Zhang, github.com/lllyasviel/ControlNet, tool_transfer_control.py and
    discussion 12.
    """
    check_fits(network, old_unet, "the ControlNet", "the old base")
    check_fits(network, new_unet, "the ControlNet", "the new base")
    result = copy.deepcopy(network).float()
    old, new = dict(old_unet.named_parameters()), dict(new_unet.named_parameters())
    # A Control-LoRA's factors are differences already.
    shared = [(n, p) for n, p in result.named_parameters() if is_copied(n) and n in old]
    if not shared:
        raise UserError(
            "A lite network copies nothing of its base, so that there is nothing to transfer; "
            "train it on the new base."
        )
    for name, weight in shared:
        # The difference first: with two equal bases the control stays the same in every bit.
        weight += _like(weight, new[name]) - _like(weight, old[name])
    return result


def _like(weight: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`other` in the type and on the device of `weight`, its first input channels alone where it
    has more: inpainting and editing models read the latent first.
    """
    return other[:, : weight.shape[1]].to(weight) if weight.ndim > 1 else other.to(weight)
