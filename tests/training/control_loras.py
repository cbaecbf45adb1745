"""Control-LoRAs that were trained, so to say, and the ordinary ControlNets that they amount to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from controlstack.training.low_rank import LowRank

HINTS = (4, 4, 8, 8)


def drawn(unet: Any, rank: int = 2) -> Any:
    """A Control-LoRA whose every parameter is something else than at first."""
    from controlstack.training.control_lora import ControlLoraModel

    torch.manual_seed(4)
    network = ControlLoraModel.for_unet(unet, HINTS, rank)
    with torch.no_grad():
        for weight in network.parameters():
            weight += torch.randn_like(weight) * 0.05
    return network.eval()


def merged(network: Any, unet: Any) -> Any:
    """The ordinary ControlNet of the same weights: W + up @ down of each layer, made whole."""
    from diffusers import ControlNetModel

    whole = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINTS)
    state = dict(whole.state_dict())
    for path, layer in network.named_modules():
        if isinstance(layer, LowRank):
            state[f"{path}.weight"] = state[f"{path}.weight"] + layer.change()
    own = {name: w for name, w in network.state_dict().items() if name in state}
    whole.load_state_dict({**state, **own})
    return whole.eval()


def residuals(network: Any, *given: Tensor, **also: Any) -> list[Tensor]:
    """Diffusers' residuals, the middle one last."""
    down, middle = network(*given, return_dict=False, **also)
    return [*down, middle]
