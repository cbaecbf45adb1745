"""A trained network as ComfyUI's CONTROL_NET. Imported in ComfyUI's process only."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ...ground.errors import UserError
from ...model_patch.protocols import ControlNet
from ...training.base_fit import not_to_start_from
from ...training.ldm_layout import HINT_PLACES, ldm_name, ldm_weights, refusal, unread_by_comfyui
from ...training.sdxl import as_diffusers, with_y


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


def network_of(control_net: Any, unet: Any, name: str) -> Any:
    """See `hosts.host.Host.network_of`. ComfyUI's own networks have ldm's names, which are looked
    up by those of a new network for `unet`."""
    import comfy.cldm.cldm
    import comfy.controlnet
    from diffusers import ControlNetModel

    network: Any = getattr(control_net, "control_model", None)
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(network, CalledByComfy):
            return _taken(as_diffusers(deepcopy(network.network)))
        plain = type(control_net) is comfy.controlnet.ControlNet
        if not plain or type(network) is not comfy.cldm.cldm.ControlNet:
            raise not_to_start_from(control_net, name)
        given: dict[str, Tensor] = network.state_dict()
        if "task_embedding" in given:
            raise not_to_start_from(control_net, name)
        channels = tuple(len(given[f"input_hint_block.{place}.weight"]) for place in HINT_PLACES)
        made = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=channels, load_weights_from_unet=False
        )
        layers = made.config.layers_per_block
        hint_blocks = len(made.controlnet_cond_embedding.blocks)
        wanted = {own: ldm_name(own, layers, hint_blocks) for own in made.state_dict()}
        _require_same(given, {wanted[own]: one for own, one in made.state_dict().items()}, name)
        made.load_state_dict({own: given[ldm].float() for own, ldm in wanted.items()})
        return _taken(made)


def _require_same(given: dict[str, Tensor], wanted: dict[str, Tensor], name: str) -> None:
    """UserError unless the weights have the names and shapes of those that are `wanted`."""
    for key in sorted({*given, *wanted}):
        shapes = [
            " x ".join(map(str, one[key].shape)) if key in one else "not there"
            for one in (given, wanted)
        ]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{name} does not fit the model: its {key} is {shapes[0]}, and one for this model "
                f"has {shapes[1]}. Take one that was trained for this kind of model."
            )


def _taken(network: Any) -> Any:
    return network.float().cpu().requires_grad_(False).eval()


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
