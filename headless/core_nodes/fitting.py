"""The core's nodes that bring pictures and masks to a size: by many rules, with a border, and one
beside another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ..batch_rows import extended
from ..resize import CROPS, MAX_RESOLUTION, resize
from .declare import Declared, choices, core_node, integer, number

_EDGE = integer(512, 0, MAX_RESOLUTION, 1)
_CROP: Declared = (CROPS, {"default": "center"})
_RULES: Mapping[str, Mapping[str, Declared]] = {
    "scale dimensions": {"width": _EDGE, "height": _EDGE, "crop": _CROP},
    "scale by multiplier": {"multiplier": number(1.0, 0.01, 8.0, 0.01)},
    "scale longer dimension": {"longer_size": _EDGE},
    "scale shorter dimension": {"shorter_size": _EDGE},
    "scale width": {"width": _EDGE},
    "scale height": {"height": _EDGE},
    "scale total pixels": {"megapixels": number(1.0, 0.01, 16.0, 0.01)},
    "match size": {"match": ("IMAGE,MASK", {}), "crop": _CROP},
    "scale to multiple": {"multiple": integer(8, 1, MAX_RESOLUTION, 1)},
}
_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]


@core_node(
    "ResizeImageMaskNode",
    "image/transform",
    {
        "input": ("IMAGE,MASK", {}),
        "resize_type": choices(_RULES),
        "scale_method": (_METHODS, {"default": "area"}),
    },
    "*",
    RETURN_NAMES=("resized",),
)
def fit(input: Tensor, resize_type: Mapping[str, Any], scale_method: str) -> Tensor:
    """Pictures (B, H, W, C) or masks (B, H, W) at a size that one of the rules gives; at 0 x 0
    pixels, or a multiple of 1, as they are. Raises UserError for an edge of 0.
    """
    is_mask = input.ndim == 3
    image = input[..., None] if is_mask else input
    made = _fitted(image, resize_type["resize_type"], resize_type, scale_method)
    return made[..., 0] if is_mask else made


def _fitted(image: Tensor, rule: str, given: Mapping[str, Any], method: str) -> Tensor:
    rows, columns = image.shape[1:3]
    if rule == "scale to multiple":
        return _to_multiple(image, given["multiple"], method)
    if rule == "match size":
        height, width = given["match"].shape[1:3]
    elif rule in ("scale dimensions", "scale width", "scale height"):
        width, height = given.get("width", 0), given.get("height", 0)
        if not width and not height:
            return image
        width = width or max(1, round(columns * height / rows))
        height = height or max(1, round(rows * width / columns))
    elif rule in ("scale longer dimension", "scale shorter dimension"):
        longer = rule == "scale longer dimension"
        size = given["longer_size" if longer else "shorter_size"]
        # The edge that is measured, and the other one in proportion.
        measured = max(rows, columns) if longer else min(rows, columns)
        width = size if columns == measured else round(columns / rows * size)
        height = size if rows == measured else round(rows / columns * size)
    else:
        factor = given.get("multiplier")
        if factor is None:
            factor = math.sqrt(int(given["megapixels"] * 1024 * 1024) / (columns * rows))
        width, height = round(columns * factor), round(rows * factor)
    return _resized(image, width, height, method, given.get("crop", "disabled"))


def _to_multiple(image: Tensor, multiple: int, method: str) -> Tensor:
    """The middle of pictures, scaled as little as it takes, with edges that `multiple` divides."""
    rows, columns = image.shape[1:3]
    height, width = (edge // multiple * multiple for edge in (rows, columns))
    if not height or not width or (height, width) == (rows, columns):
        return image
    across, down = width / columns, height / rows
    if across >= down:
        size = (width, max(height, math.ceil(rows * across)))
    else:
        size = (max(width, math.ceil(columns * down)), height)
    scaled = _resized(image, *size, method)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return scaled[:, top : top + height, left : left + width]


def _resized(image: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    if width < 1 or height < 1:
        raise UserError(
            f"this leaves {width} x {height} pixels of a picture of {image.shape[2]} x "
            f"{image.shape[1]}; give a larger size"
        )
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


@core_node(
    "ResizeAndPadImage",
    "image/transform",
    {
        "image": "IMAGE",
        "target_width": integer(512, 1, MAX_RESOLUTION, 1),
        "target_height": integer(512, 1, MAX_RESOLUTION, 1),
        "padding_color": (["white", "black"], {"advanced": True}),
        "interpolation": (
            ["area", "bicubic", "nearest-exact", "bilinear", "lanczos"],
            {"advanced": True},
        ),
    },
    "IMAGE",
)
def fit_inside(
    image: Tensor, target_width: int, target_height: int, padding_color: str, interpolation: str
) -> Tensor:
    """Pictures as large as they fit into a size, in the middle of white or black."""
    count, rows, columns, channels = image.shape
    require_memory(
        count * target_width * target_height * channels * 4,
        f"{count} x {target_width} x {target_height} pixels",
    )
    factor = min(target_width / columns, target_height / rows)
    width, height = int(columns * factor), int(rows * factor)
    scaled = _resized(image, width, height, interpolation)
    shape = (count, target_height, target_width, channels)
    made = image.new_full(shape, float(padding_color == "white"))
    left, top = (target_width - width) // 2, (target_height - height) // 2
    made[:, top : top + height, left : left + width] = scaled
    return made


COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}


@core_node(
    "ImageStitch",
    "image/transform",
    {
        "image1": "IMAGE",
        "direction": (["right", "down", "left", "up"], {"default": "right"}),
        "match_image_size": ("BOOLEAN", {"default": True}),
        "spacing_width": integer(0, 0, 1024, 2, advanced=True),
        "spacing_color": (list(COLOURS), {"default": "white", "advanced": True}),
    },
    "IMAGE",
    optional={"image2": "IMAGE"},
)
def stitch(
    image1: Tensor,
    direction: str,
    match_image_size: bool,
    spacing_width: int,
    spacing_color: str,
    image2: Tensor | None = None,
) -> Tensor:
    """The second pictures beside the first, at their size, or the smaller ones within white or
    black; between them a strip of an even width. The last picture of a batch stands for those that
    it lacks.
    """
    if image2 is None:
        return image1
    one, other = (extended(i, max(len(image1), len(image2))) for i in (image1, image2))
    along = 2 if direction in ("left", "right") else 1
    across = 3 - along
    if match_image_size:
        rows, columns = one.shape[1:3]
        aspect = other.shape[2] / other.shape[1]
        size = (int(rows * aspect), rows) if along == 2 else (columns, int(columns / aspect))
        other = _resized(other, *size, "lanczos")
    else:
        border = float(spacing_color == "white")
        length = max(one.shape[across], other.shape[across])
        one, other = (_widened(image, across, length, border) for image in (one, other))
    channels = max(one.shape[-1], other.shape[-1])
    one, other = (F.pad(i, (0, channels - i.shape[-1]), value=1.0) for i in (one, other))
    parts = [other, one] if direction in ("left", "up") else [one, other]
    if spacing_width:
        shape = list(one.shape)
        shape[along] = spacing_width + spacing_width % 2
        strip = one.new_tensor([*COLOURS[spacing_color], 1.0][:channels])
        parts.insert(1, strip.expand(shape))
    return torch.cat(parts, dim=along)


def _widened(image: Tensor, axis: int, length: int, value: float) -> Tensor:
    """Pictures with a border on both sides of an axis, one pixel more behind where it is odd."""
    lacking = length - image.shape[axis]
    pads = [0, 0] * (image.ndim - 1 - axis) + [lacking // 2, lacking - lacking // 2]
    return F.pad(image, pads, value=value)
