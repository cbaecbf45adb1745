"""A line of a stack: what its wires and widgets say, as a control of the engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ground.errors import named
from ..hosts import host
from ..model_patch.control import Control
from ..model_patch.factors import Factor, Span
from ..model_patch.view import AreaHint, Frames

AUTO = "auto"
"""The union type of a net that is left as it comes."""


def line(
    net: Any,
    image: Tensor | None,
    number: int,
    file: str,
    *,
    strength: float,
    span: Span,
    mode: str,
    area_hint: AreaHint,
    frames: Frames,
    union_type: str,
    enabled: bool,
    mask: Tensor | None = None,
    vae: Any = None,
    inpaint_mask: Tensor | None = None,
    factor: tuple[Factor, ...] = (),
    inpaint_image: Tensor | None = None,
) -> Control:
    """The control of a stack's line `number`, from 1.

    `net` is a CONTROL_NET or MODEL_PATCH that came from `file`, if that is known; `image` and
    `inpaint_image` are (B, H, W, 3) in 0..1. A line that is off may lack both.

    Raises:
        UserError: a MODEL_PATCH that is no control, and what `Control` refuses.
    """
    if not enabled:  # also where a host made them for others: the same line each time
        net, image = None, None
    file = file or type(net).__name__
    name = f"control {number} ({file})"
    if hasattr(net, "get_model_object"):  # a MODEL_PATCH; no CONTROL_NET has it
        with named(name):
            net = host.current().patch_net(net)
    return Control(
        net=net,
        hint=torch.zeros(1, 3, 1, 1) if image is None else image.movedim(-1, 1),
        name=name,
        strength=strength,
        span=span,
        mask=mask,
        mode=mode,
        vae=vae,
        area_hint=area_hint,
        frames=frames,
        inpaint_mask=inpaint_mask,
        union_types=tuple(one for one in union_type.split(",") if one.strip() != AUTO),
        also=factor,
        enabled=enabled,
        file=file,
        inpaint_image=None if inpaint_image is None else inpaint_image.movedim(-1, 1),
    )
