"""Between IMAGE and the pictures at which comfyui_controlnet_aux's annotators look.

By `common_annotator_call` (utils.py) and `resize_image_with_pad`
(src/custom_controlnet_aux/util.py) of https://github.com/Fannovel16/comfyui_controlnet_aux (1.1.5).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from torch import Tensor

from ...nodes.images import require_image
from ...preprocessors.opencv import opencv
from ...preprocessors.picture import Bytes, checked_size
from ...preprocessors.sizing import Size

Grow: TypeAlias = Literal["cubic", "area"]
"""How a picture is made larger; all are made smaller by area."""

MULTIPLE = 64
"""Pixels: sides are padded to a multiple of it."""


def pictures(image: Tensor) -> list[Bytes]:
    """IMAGE (B, H, W, 3 or 4) in 0..1 as bytes (H, W, 3), by that pack's rounding down.

    Of four channels the last is alpha, and white lies below. Raises UserError for another shape.
    """
    return [on_white(picture) for picture in levels(image)]


def levels(image: Tensor) -> list[Bytes]:
    """IMAGE (B, H, W, C) in 0..1 as bytes (H, W, C). Raises UserError for another shape."""
    require_image(image)
    scaled = image.detach().float().cpu().nan_to_num(0.0).clamp(0, 1) * 255.0
    return list(scaled.numpy().astype(np.uint8))


def on_white(picture: Bytes) -> Bytes:
    """Bytes (H, W, 1, 3 or 4) as RGB: grey three times, alpha over white."""
    if picture.shape[2] == 1:
        return np.repeat(picture, 3, axis=2)
    if picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:].astype(np.float32) / 255.0
    laid = picture[..., :3].astype(np.float32) * alpha + 255.0 * (1.0 - alpha)
    made: Bytes = laid.clip(0, 255).astype(np.uint8)
    return made


def resized(picture: Bytes, resolution: int, grow: Grow) -> Bytes:
    """`picture` (H x W x 3) with `resolution` pixels on its shorter side."""
    height, width = picture.shape[:2]
    share = resolution / min(height, width)
    size = int(np.round(width * share)), int(np.round(height * share))
    checked_size(*size, "The hint")
    cv2 = opencv()
    larger = cv2.INTER_CUBIC if grow == "cubic" else cv2.INTER_AREA
    made: Bytes = cv2.resize(picture, size, interpolation=larger if share > 1 else cv2.INTER_AREA)
    return made


def padded(picture: Bytes) -> tuple[Bytes, Size]:
    """`picture` with its last pixels repeated to the right and below up to a multiple of MULTIPLE;
    and its width and height before."""
    height, width = picture.shape[:2]
    border = ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0))
    return np.pad(picture, border, mode="edge"), (width, height)
