"""A trained network as ComfyUI's CONTROL_NET. Imported in ComfyUI's process only."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ...model_patch.protocols import ControlNet
from ...training.ldm_layout import ldm_weights, refusal, unread_by_comfyui
from ...training.sdxl import with_y


class CalledByComfy(nn.Module):
    """A network of diffusers' layout, called as ComfyUI calls its own."""

    hint_encoders = ("network.controlnet_cond_embedding",)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: nn.Module = with_y(network)

    @property
    def dtype(self) -> torch.dtype:
        """What ComfyUI casts the inputs to."""
        return next(self.network.parameters()).dtype

    def forward(
        self,
        x: Tensor,
        hint: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        **_: Any,
    ) -> dict[str, list[Tensor]]:
        """Residuals at strength 1 for latents (n, c, h, w) and hints (n, 3, 8h, 8w) in 0..1; `y` is
        SDXL's vector.
        """
        config: Any = self.network.config
        also = {} if config.get("class_embed_type") is None else {"class_labels": y}
        down, middle = self.network(x, timesteps, context, hint, return_dict=False, **also)
        return {"middle": [middle], "output": list(down)}


def control_net_of(network: Any) -> ControlNet:
    """See `hosts.host.Host.control_net_of`.

    ComfyUI's own network where it has one for these weights, as if their single file was loaded;
    else (lite networks, small hint encoders, small bases) the network itself.
    """
    import comfy.controlnet
    import comfy.model_management as manager

    with torch.inference_mode(False):
        if refusal(network) is None and unread_by_comfyui(network) is None:
            copies = {n: w.detach().to("cpu", copy=True) for n, w in ldm_weights(network).items()}
            net: ControlNet = comfy.controlnet.load_controlnet_state_dict(copies)
            return net
        own = CalledByComfy(deepcopy(network).cpu().eval().requires_grad_(False))
        net = comfy.controlnet.ControlNet(own, load_device=manager.get_torch_device())
        return net
