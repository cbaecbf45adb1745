"""Whether a stack can use a net as it is set, told before anything is sampled."""

from __future__ import annotations

from collections.abc import Sized

import torch

from ..ground.errors import UserError
from ..ground.log import log
from .control import Control
from .inpaint import takes_mask
from .residuals import Place
from .union import numbers_of


def require_usable(control: Control) -> None:
    """Raise UserError for a net with hooks of its own, one without the VAE that it needs, and for
    a mask or types that it does not take; say in the log what it misses but can do without."""
    name, net = control.name, control.net
    if has_hooks(net):
        raise UserError(
            f"{name} acts through hooks on the conditioning, which a stack does not have: "
            "use it with ComfyUI's Apply ControlNet."
        )
    if control.vae is None and getattr(net, "latent_format", None) is not None:
        raise UserError(
            f"{name} works on latents and needs a VAE to encode its hint: connect one to the vae "
            "input of Add Control."
        )
    if control.inpaint_mask is not None and not takes_mask(net):
        raise UserError(
            f"{name} is no inpainting ControlNet and takes no inpaint_mask: take it away, or use "
            "the input mask for where the control acts."
        )
    if control.inpaint_mask is None and takes_mask(net):
        log.warning(
            "%s is an inpainting ControlNet and has no inpaint_mask: to it, the whole picture "
            "stays",
            name,
        )
    if control.union_types:
        numbers_of(control.union_types, net, name)
    if places := _places_of(net):
        try:
            for factor in control.factors:
                factor.require_blocks(places)
        except UserError as error:
            raise error.at(name) from error


def has_hooks(net: object) -> bool:
    """Whether a net, or one before it in its chain, acts through hooks of its own."""
    hooks = getattr(net, "get_extra_hooks", None)
    return hooks is not None and bool(hooks())


def _places_of(net: object) -> list[Place]:
    """Where a ControlNet of a U-Net adds, told by its zero convolutions, ComfyUI's or diffusers';
    [] for nets that have none before they run."""
    network = getattr(net, "control_model", None)
    skips: Sized = getattr(network, "zero_convs", getattr(network, "controlnet_down_blocks", ()))
    count, unknown = len(skips), torch.Size()
    names = [("output", i, count) for i in range(count)] + [("middle", 0, 1)] * bool(count)
    return [
        Place(group, block, blocks, unknown, depth, len(names), None)
        for depth, (group, block, blocks) in enumerate(names)
    ]
