"""The core's nodes that make, change and combine masks (B, H, W), values 0..1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ..resize import MAX_RESOLUTION
from .declare import core_node, integer, number
from .image import check_preview, preview_images
from .saving import PROMPT_AND_CANVAS

CHANNELS = ["red", "green", "blue", "alpha"]
_OFFSET = integer(0, 0, MAX_RESOLUTION, 1)
_SIZE = integer(512, 1, MAX_RESOLUTION, 1)


@core_node("MaskToImage", "image/mask", {"mask": "MASK"}, "IMAGE")
def to_image(mask: Tensor) -> Tensor:
    """A mask as a grey picture (B, H, W, 3)."""
    return _stacked(mask)[..., None].expand(-1, -1, -1, 3)


@core_node("ImageToMask", "image/mask", {"image": "IMAGE", "channel": CHANNELS}, "MASK")
def of_channel(image: Tensor, channel: str) -> Tensor:
    """One channel of a picture; UserError for the alpha of a picture without one."""
    index = CHANNELS.index(channel)
    if index >= image.shape[-1]:
        raise UserError(
            f"the picture has {image.shape[-1]} channels and no {channel}; take its red, green or "
            "blue, or the mask that its loader gives"
        )
    return image[..., index]


@core_node(
    "ImageColorToMask",
    "image/mask",
    {"image": "IMAGE", "color": integer(0, 0, 0xFFFFFF, 1, display="number")},
    "MASK",
)
def of_colour(image: Tensor, color: int) -> Tensor:
    """1 where a picture has exactly this colour, red * 65536 + green * 256 + blue in 8 bits."""
    levels = (image[..., :3].clamp(0, 1) * 255.0).round().int()
    wanted = levels.new_tensor([color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF])
    return (levels == wanted).all(dim=-1).float()


@core_node(
    "SolidMask",
    "image/mask",
    {"value": number(1.0, 0.0, 1.0, 0.01), "width": _SIZE, "height": _SIZE},
    "MASK",
)
def solid(value: float, width: int, height: int) -> Tensor:
    """A mask (1, H, W) of one value."""
    require_memory(width * height * 4, f"a mask of {width} x {height}")
    return torch.full((1, height, width), value)


@core_node("InvertMask", "image/mask", {"mask": "MASK"}, "MASK")
def invert(mask: Tensor) -> Tensor:
    """1 where it was 0."""
    return 1.0 - mask


@core_node(
    "ThresholdMask", "image/mask", {"mask": "MASK", "value": number(0.5, 0, 1, 0.01)}, "MASK"
)
def threshold(mask: Tensor, value: float) -> Tensor:
    """1 where the mask is above `value`, 0 elsewhere."""
    return (mask > value).float()


@core_node(
    "CropMask",
    "image/mask",
    {"mask": "MASK", "x": _OFFSET, "y": _OFFSET, "width": _SIZE, "height": _SIZE},
    "MASK",
)
def crop(mask: Tensor, x: int, y: int, width: int, height: int) -> Tensor:
    """The part of a mask inside a rectangle; UserError where nothing of it is."""
    rows, columns = mask.shape[-2:]
    if x >= columns or y >= rows:
        raise UserError(
            f"the crop begins at {x}, {y}, outside of a mask of {columns} x {rows}; begin inside"
        )
    return _stacked(mask)[:, y : y + height, x : x + width]


@core_node(
    "GrowMask",
    "image/mask",
    {
        "mask": "MASK",
        "expand": integer(0, -MAX_RESOLUTION, MAX_RESOLUTION, 1),
        "tapered_corners": ("BOOLEAN", {"default": True, "advanced": True}),
    },
    "MASK",
)
def grow(mask: Tensor, expand: int, tapered_corners: bool) -> Tensor:
    """A mask wider by `expand` pixels, or narrower where it is below 0: the largest (smallest)
    value within a square of that radius, or with `tapered_corners` within a diamond.
    """
    grown = _stacked(mask)[:, None]
    sign = 1 if expand > 0 else -1
    # Beyond the mask's own edges nothing changes any more.
    steps = min(abs(expand), sum(mask.shape[-2:]))
    for _ in range(steps):
        across, down = (
            F.max_pool2d(sign * grown, size, stride=1, padding=[edge // 2 for edge in size])
            for size in ((1, 3), (3, 1))
        )
        if tapered_corners:
            grown = sign * torch.maximum(across, down)
        else:
            grown = sign * F.max_pool2d(across, (3, 1), stride=1, padding=(1, 0))
    return grown[:, 0]


@core_node(
    "FeatherMask",
    "image/mask",
    {"mask": "MASK", "left": _OFFSET, "top": _OFFSET, "right": _OFFSET, "bottom": _OFFSET},
    "MASK",
)
def feather(mask: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """A mask that fades towards its edges, linearly within so many pixels of each."""
    feathered = _stacked(mask).clone()
    # The second view has the rows of the mask for its columns.
    for view, pixels, last in (
        (feathered, left, False),
        (feathered, right, True),
        (feathered.mT, top, False),
        (feathered.mT, bottom, True),
    ):
        width = min(pixels, view.shape[-1])
        fade(view, torch.arange(1, width + 1, dtype=torch.float64) / max(width, 1), last)
    return feathered


@core_node(
    "MaskComposite",
    "image/mask",
    {
        "destination": "MASK",
        "source": "MASK",
        "x": _OFFSET,
        "y": _OFFSET,
        "operation": ["multiply", "add", "subtract", "and", "or", "xor"],
    },
    "MASK",
)
def combine(destination: Tensor, source: Tensor, x: int, y: int, operation: str) -> Tensor:
    """`source` worked into `destination` from (x, y) on; the last three round both to 0 and 1.

    Raises UserError for batches of which neither is one.
    """
    below, above = _stacked(destination).clone(), _stacked(source)
    if len(above) not in (1, len(below)):
        raise UserError(
            f"destination has {len(below)} masks and source {len(above)}; give one source, or as "
            "many"
        )
    place = below[:, y : y + above.shape[1], x : x + above.shape[2]]
    above = above[:, : place.shape[1], : place.shape[2]].to(below)
    place.copy_(_OPERATIONS[operation](place, above))
    return below.clamp(0.0, 1.0)


@core_node(
    "MaskPreview",
    "image/mask",
    {"mask": "MASK"},
    "MASK",
    hidden=PROMPT_AND_CANVAS,
    check=check_preview,
    OUTPUT_NODE=True,
    RETURN_NAMES=("mask",),
)
def preview(mask: Tensor, **texts: Any) -> dict[str, Any]:
    """Masks written as pictures into the folder for temporary files, and given on."""
    return {**preview_images(to_image(mask), **texts), "result": (mask,)}


def fade(view: Tensor, ramp: Tensor, last: bool) -> None:
    """Multiply the columns of `view` by `ramp`, the outermost first, from its left edge or (`last`)
    its right one inwards; in place.
    """
    ramp = ramp[: view.shape[-1]].to(view)
    if last:
        view[..., view.shape[-1] - len(ramp) :] *= ramp.flip(0)
    else:
        view[..., : len(ramp)] *= ramp


def _stacked(mask: Tensor) -> Tensor:
    return mask.reshape(-1, *mask.shape[-2:])


def _of_truths(work: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda one, other: work(one.round().bool(), other.round().bool()).float()


_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "and": _of_truths(torch.logical_and),
    "or": _of_truths(torch.logical_or),
    "xor": _of_truths(torch.logical_xor),
}
