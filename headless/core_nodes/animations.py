"""The core's nodes that save a batch as one moving picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..pictures import encode_moving_png, encode_moving_webp
from .declare import Input, core_node, integer, number
from .saving import PROMPT_AND_CANVAS, name_checked, texts_of, written

METHODS = {"default": 4, "fastest": 0, "slowest": 6}
"""WEBP's effort by the names that the core has for it."""

_NAMED: Mapping[str, Input] = {
    "images": "IMAGE",
    "filename_prefix": ("STRING", {"default": "ComfyUI"}),
}
_FPS = number(6.0, 0.01, 1000.0, 0.01)


@core_node(
    "SaveAnimatedWEBP",
    "image",
    {
        **_NAMED,
        "fps": _FPS,
        "lossless": ("BOOLEAN", {"default": True}),
        "quality": integer(80, 0, 100),
        "method": list(METHODS),
    },
    "IMAGE",
    hidden=PROMPT_AND_CANVAS,
    check=name_checked(".webp"),
    OUTPUT_NODE=True,
    RETURN_NAMES=("images",),
)
def save_webp(
    images: Tensor,
    filename_prefix: str,
    fps: float,
    lossless: bool,
    quality: int,
    method: str,
    **told: Any,
) -> dict[str, Any]:
    """A batch written as one moving WEBP into the output folder, with the workflow inside."""
    effort = METHODS[method]
    data = encode_moving_webp(images, fps, texts_of(**told), lossless, quality, effort)
    return _told(images, data, filename_prefix, ".webp", told)


@core_node(
    "SaveAnimatedPNG",
    "image",
    {**_NAMED, "fps": _FPS, "compress_level": integer(4, 0, 9, advanced=True)},
    "IMAGE",
    hidden=PROMPT_AND_CANVAS,
    check=name_checked(".png"),
    OUTPUT_NODE=True,
    RETURN_NAMES=("images",),
)
def save_png(
    images: Tensor, filename_prefix: str, fps: float, compress_level: int, **told: Any
) -> dict[str, Any]:
    """A batch written as one moving PNG into the output folder, with the workflow inside."""
    data = encode_moving_png(images, fps, texts_of(**told), compress_level)
    return _told(images, data, filename_prefix, ".png", told)


def _told(
    images: Tensor, data: bytes, prefix: str, suffix: str, told: dict[str, Any]
) -> dict[str, Any]:
    size = (images.shape[2], images.shape[1])
    saved = written(data, prefix, suffix, size=size, prompt=told.get("prompt"))
    return {"ui": {"images": [saved], "animated": (len(images) > 1,)}, "result": (images,)}
