"""Whether a stack can use a net as it is set, told before anything is sampled."""

from __future__ import annotations

from ..ground.errors import UserError
from ..ground.log import log
from .control import Control
from .inpaint import takes_mask
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


def has_hooks(net: object) -> bool:
    """Whether a net, or one before it in its chain, acts through hooks of its own."""
    hooks = getattr(net, "get_extra_hooks", None)
    return hooks is not None and bool(hooks())
