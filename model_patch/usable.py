"""Whether a stack can use a net as it is set, told before anything is sampled."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import torch

from ..ground.errors import UserError, named
from ..ground.log import log
from ..ground.wording import listing
from .control import Control
from .inpaint import takes_mask
from .patch_net import PatchNet
from .residuals import Place
from .union import numbers_of


def require_usable(control: Control) -> None:
    """Raise UserError for a net with hooks of its own, one without the VAE that it needs, and for
    a mask or types that it does not take; say in the log what it misses but can do without."""
    name, net = control.name, control.net
    if isinstance(net, PatchNet):
        return _require_usable_patch(control, net)
    if has_hooks(net):
        raise UserError(
            f"{name} acts through hooks on the conditioning, which a stack does not have: "
            "use it with ComfyUI's Apply ControlNet."
        )
    if control.vae is None and getattr(net, "latent_format", None) is not None:
        raise UserError(
            f"{name} works on latents and needs a VAE to encode its hint: connect one to the vae "
            "input of Add ControlNet."
        )
    if control.inpaint_mask is not None and not takes_mask(net):
        raise UserError(
            f"{name} is no inpainting ControlNet and takes no inpaint_mask: take it away, or use "
            "the input mask for where the control acts."
        )
    if control.inpaint_image is not None:
        raise UserError(
            f"{name} is a ControlNet and takes no inpaint_image, which is for Z-Image Fun: take it "
            "away; an inpainting ControlNet takes the picture as its hint."
        )
    if control.inpaint_mask is None and takes_mask(net):
        log.warning(
            "%s is an inpainting ControlNet and has no inpaint_mask: to it, the whole picture "
            "stays",
            name,
        )
    if control.union_types:
        numbers_of(control.union_types, net, name)
    _require_blocks(control, _places_of(net))


def _require_usable_patch(control: Control, net: PatchNet) -> None:
    name = control.name
    if control.vae is None and net.latent_hint:
        raise UserError(
            f"{name} is {net.words} and needs a VAE to encode its hint: connect that of the model "
            "to the vae input of Add ControlNet."
        )
    for what, given, taken in (
        ("inpaint_mask", control.inpaint_mask, net.mask),
        ("inpaint_image", control.inpaint_image, net.picture),
    ):
        if given is not None and not taken:
            raise UserError(
                f"{name} is {net.words} that was not made for inpainting and takes no {what}: take "
                "it away, or use the input mask for where the control acts."
            )
    if control.union_types:
        raise UserError(
            f"{name} is {net.words}, which finds out by itself what its hint shows: choose the "
            f"union_type auto, not {listing(control.union_types)}."
        )
    if net.film and control.area_hint == "crop":
        raise UserError(
            f"{name} is {net.words}, whose film is of the whole picture: choose the area_hint "
            "whole, not crop."
        )
    if net.stays and control.inpaint_mask is None:
        log.warning(
            "%s was made for inpainting and has no inpaint_mask: to it, the whole picture stays",
            name,
        )
    _require_blocks(control, net.places())


def _require_blocks(control: Control, places: Sequence[Place]) -> None:
    """Raise UserError where a factor names blocks that are not there; [] is not known."""
    if places:
        with named(control.name):
            for factor in control.factors:
                factor.require_blocks(places)


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
