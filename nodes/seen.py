"""Hints on the node that made them, where the host shows a node's pictures.

No OUTPUT_NODE is needed for it: an output node runs in every queue, also where the line that uses
its hint is switched off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..hosts import host


def seen(hints: Tensor, *further: Any, ui: Mapping[str, Any] | None = None) -> Any:
    """A node's result `(hints, *further)`, with the pictures of IMAGE (B, H, W, 3) where the host
    shows them, and what else the front end is told by `ui`; negative values, which mark what an
    inpainting net paints, are shown black."""
    result = (hints, *further)
    shown = host.current().shown(_pictures(hints)) if host.is_running() else []
    told = {**({"images": shown} if shown else {}), **(ui or {})}
    return {"ui": told, "result": result} if told else result


def _pictures(hints: Tensor) -> Iterator[Image.Image]:
    for hint in hints:
        yield Image.fromarray(hint.clamp(0, 1).mul(255).round().to(torch.uint8).numpy())
