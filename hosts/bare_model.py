"""Can a MODEL be trained on? Its U-Net has to be of the kind, and its weights have to say all."""

from __future__ import annotations

from typing import Any

from ..ground.errors import UserError
from ..training.base_fit import check_base

_CALLS = ("apply_model", "diffusion_model")
"""The wrappers, by ComfyUI's names, that stand around a call of the U-Net."""

_CHANGES = ("patches", "patches_replace")
"""What ComfyUI's nodes for attention, FreeU or Deep Shrink write into `transformer_options`."""


def require_base(unet: Any, name: str) -> None:
    """`training.base_fit.check_base`, with the model's name before what it says."""
    try:
        check_base(unet)
    except UserError as error:
        raise error.at(name) from error


def require_bare(model: Any, name: str) -> None:
    """UserError, naming the MODEL, where something is added to each call of its U-Net.

    Patched weights (LoRAs) and what works on the guidance alone are no concern.
    """
    options = model.model_options.get("transformer_options", {})
    wrapped = [kind for kind in _CALLS if any(model.wrappers.get(kind, {}).values())]
    changed = [kind for kind in _CHANGES if any(options.get(kind, {}).values())]
    if "model_function_wrapper" in model.model_options:
        wrapped.append("model_function_wrapper")
    if wrapped or changed:
        raise UserError(
            f"{name} carries changes that its weights do not hold ({', '.join(wrapped + changed)}: "
            "a control stack, FreeU, an IP-Adapter, a compiled model ...), and training would run "
            "without them: wire the MODEL as it was before these nodes."
        )
