"""What a run of a control's net costs, in runs of the U-Net that it steers: an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from ..model_patch.control import Control, ControlStack
from ..model_patch.family import family_of
from ..model_patch.protocols import BaseModel

MEASURED = {"Stable Diffusion 1.x": 0.35, "Stable Diffusion 2.x": 0.35, "SDXL": 0.45}
"""A ControlNet's run in runs of its U-Net, measured on random weights of full size."""

_OTHERS = 0.35
"""Where the family is not known."""


@dataclass(frozen=True)
class Cost:
    """A run of a net, in runs of the U-Net.

    Args:
        run: how much one run is.
        source: "weights" where it is the ratio of their numbers, else "family".
        once: whether a net runs once for all steps, as a T2I adapter does, which sees no latent.
    """

    run: float
    source: str
    once: bool = False


def by_family(family: str) -> Cost:
    """The measured ratio of a family by its name; "" where it is not known."""
    return Cost(MEASURED.get(family, _OTHERS), "family")


def by_weights(net: int, model: int, once: bool = False) -> Cost:
    """The ratio of two numbers of weights."""
    return Cost(net / model, "weights", once)


def costs_of(stack: ControlStack, base: BaseModel) -> tuple[Cost, ...]:
    """The cost of each control beside a model that is loaded."""
    family, model = family_of(base), _weights(base.diffusion_model)

    def cost(control: Control) -> Cost:
        adapter = getattr(control.net, "t2i_model", None)
        # A Control-LoRA (`control_weights`) has few weights, and runs as a whole net.
        net = _weights(getattr(control.net, "control_model", None) or adapter)
        if not net or not model:
            return by_family(family)
        return by_weights(net, model, once=adapter is not None)

    return tuple(cost(control) for control in stack)


def _weights(network: Any) -> int:
    if not isinstance(network, nn.Module):
        return 0
    return sum(weights.numel() for weights in network.parameters())
