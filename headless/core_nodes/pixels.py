"""The core's nodes that measure, cut, turn, extend and filter pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.wording import shown
from ..resize import IMAGE_METHODS, MAX_RESOLUTION, resize
from .declare import core_node, integer, number
from .latent import FLIPS, TURNS

_OFFSET = integer(0, 0, MAX_RESOLUTION, 1)
_SIZE = integer(512, 1, MAX_RESOLUTION, 1)
_MARGIN = integer(0, 0, MAX_RESOLUTION, 8)


@core_node(
    "GetImageSize",
    "image",
    {"image": "IMAGE"},
    *("INT", "INT", "INT"),
    RETURN_NAMES=("width", "height", "batch_size"),
)
def size(image: Tensor) -> tuple[int, int, int]:
    """Width and height in pixels, and how many pictures there are."""
    count, height, width = image.shape[:3]
    return width, height, count


@core_node(
    "EmptyImage",
    "image",
    {
        "width": _SIZE,
        "height": _SIZE,
        "batch_size": integer(1, 1, 4096),
        "color": integer(0, 0, 0xFFFFFF, 1, display="color"),
    },
    "IMAGE",
)
def empty(width: int, height: int, batch_size: int, color: int) -> Tensor:
    """Pictures of one colour, red * 65536 + green * 256 + blue."""
    require_memory(batch_size * width * height * 12, f"{batch_size} x {width} x {height} pixels")
    parts = [(color >> shift & 0xFF) / 0xFF for shift in (16, 8, 0)]
    return torch.tensor(parts).expand(batch_size, height, width, 3).clone()


@core_node(
    "ImageScaleToTotalPixels",
    "image/upscaling",
    {
        "image": "IMAGE",
        "upscale_method": IMAGE_METHODS,
        "megapixels": number(1.0, 0.01, 16.0, 0.01),
        "resolution_steps": integer(1, 1, 256, advanced=True),
    },
    "IMAGE",
)
def scale_to_pixels(
    image: Tensor, upscale_method: str, megapixels: float, resolution_steps: int = 1
) -> Tensor:
    """Pictures of so many times 1024 x 1024 pixels and the same aspect; both edges are rounded to
    multiples of `resolution_steps`, one of them at least.
    """
    rows, columns = image.shape[1:3]
    factor = math.sqrt(megapixels * 1024 * 1024 / (columns * rows))
    width, height = (
        max(1, round(edge * factor / resolution_steps)) * resolution_steps
        for edge in (columns, rows)
    )
    return _scaled(image, width, height, upscale_method)


@core_node(
    "ImageScaleToMaxDimension",
    "image/upscaling",
    {
        "image": "IMAGE",
        "upscale_method": ["area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic"],
        "largest_size": integer(512, 0, MAX_RESOLUTION, 1),
    },
    "IMAGE",
)
def scale_longer(image: Tensor, upscale_method: str, largest_size: int) -> Tensor:
    """Pictures whose longer edge is `largest_size`; UserError for 0."""
    if largest_size == 0:
        raise UserError("largest_size is 0, which leaves no picture; give at least 1")
    rows, columns = image.shape[1:3]
    shorter = max(1, round(min(rows, columns) / max(rows, columns) * largest_size))
    width = largest_size if columns >= rows else shorter
    height = largest_size if rows >= columns else shorter
    return _scaled(image, width, height, upscale_method)


@core_node(
    "ImageCrop",
    "image/transform",
    {"image": "IMAGE", "width": _SIZE, "height": _SIZE, "x": _OFFSET, "y": _OFFSET},
    "IMAGE",
    DEPRECATED=True,
)
def crop(image: Tensor, width: int, height: int, x: int, y: int) -> Tensor:
    """The part of pictures inside a rectangle, which begins at their last pixel at the latest."""
    rows, columns = image.shape[1:3]
    top, left = min(y, rows - 1), min(x, columns - 1)
    return image[:, top : top + height, left : left + width]


@core_node(
    "ImageCropV2",
    "image/transform",
    {
        "image": "IMAGE",
        "crop_region": (
            "BOUNDING_BOX",
            {
                "default": {"x": 0, "y": 0, "width": 512, "height": 512},
                "component": "ImageCrop",
                "socketless": True,
            },
        ),
    },
    "IMAGE",
)
def crop_region(image: Tensor, crop_region: Mapping[str, int]) -> Tensor:
    """As ImageCrop, by one value with x, y, width and height. Raises UserError for another one."""
    try:
        box = {**_WHOLE, **{name: int(value) for name, value in crop_region.items()}}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"crop_region is {shown(crop_region)}; give x, y, width and height as numbers"
        ) from error
    if min(box["x"], box["y"]) < 0 or min(box["width"], box["height"]) < 1:
        raise UserError(f"crop_region is {shown(box)}; it has to lie in the picture")
    return crop(image, *(box[name] for name in ("width", "height", "x", "y")))


_WHOLE = {"x": 0, "y": 0, "width": 512, "height": 512}


@core_node("ImageFlip", "image/transform", {"image": "IMAGE", "flip_method": FLIPS}, "IMAGE")
def flip(image: Tensor, flip_method: str) -> Tensor:
    """Pictures mirrored top to bottom, or left to right."""
    return image.flip(1 + FLIPS.index(flip_method))


@core_node("ImageRotate", "image/transform", {"image": "IMAGE", "rotation": TURNS}, "IMAGE")
def rotate(image: Tensor, rotation: str) -> Tensor:
    """Pictures turned clockwise."""
    return torch.rot90(image, TURNS.index(rotation), (2, 1))


@core_node(
    "ImagePadForOutpaint",
    "image/transform",
    {
        "image": "IMAGE",
        "left": _MARGIN,
        "top": _MARGIN,
        "right": _MARGIN,
        "bottom": _MARGIN,
        "feathering": integer(40, 0, MAX_RESOLUTION, 1, advanced=True),
    },
    *("IMAGE", "MASK"),
)
def pad_for_outpaint(
    image: Tensor, left: int, top: int, right: int, bottom: int, feathering: int
) -> tuple[Tensor, Tensor]:
    """Pictures with grey margins, and a mask that is 1 there.

    Within `feathering` pixels of a margin the mask falls to 0 by the square of the distance, unless
    the picture is not twice as large as that.
    """
    count, rows, columns, channels = image.shape
    size = (rows + top + bottom, columns + left + right)
    require_memory(count * size[0] * size[1] * channels * 4, f"{size[1]} x {size[0]} pixels")
    inside = (slice(top, top + rows), slice(left, left + columns))
    padded = torch.full((count, *size, channels), 0.5)
    padded[(slice(None), *inside)] = image
    mask = torch.ones(size)
    mask[inside] = 0.0
    if 0 < feathering * 2 < min(rows, columns):
        # The pixel beside a margin is 0 away from the left and top, 1 from the right and bottom.
        far = torch.full((max(rows, columns),), math.inf, dtype=torch.float64)
        distances = [far[:rows], far[:columns]]
        for axis, (before, after) in enumerate(((top, bottom), (left, right))):
            edge = len(distances[axis])
            pixels = torch.arange(edge, dtype=torch.float64)
            for margin, distance in ((before, pixels), (after, edge - pixels)):
                if margin:
                    distances[axis] = torch.minimum(distances[axis], distance)
        nearest = torch.minimum(distances[0][:, None], distances[1][None])
        mask[inside] = ((feathering - nearest).clamp(min=0) / feathering).square().float()
    return padded, mask[None]


@core_node(
    "ImageBlur",
    "image/filters",
    {
        "image": "IMAGE",
        "blur_radius": integer(1, 1, 31, 1),
        "sigma": number(1.0, 0.1, 10.0, 0.1),
    },
    "IMAGE",
)
def blur(image: Tensor, blur_radius: int, sigma: float) -> Tensor:
    """Pictures under a Gaussian of `sigma` radii, cut off at `blur_radius` pixels."""
    return filtered(image, _gaussian(blur_radius, sigma))


@core_node(
    "ImageSharpen",
    "image/filters",
    {
        "image": "IMAGE",
        "sharpen_radius": integer(1, 1, 31, 1, advanced=True),
        "sigma": number(1.0, 0.1, 10.0, 0.01, advanced=True),
        "alpha": number(1.0, 0.0, 5.0, 0.01, advanced=True),
    },
    "IMAGE",
)
def sharpen(image: Tensor, sharpen_radius: int, sigma: float, alpha: float) -> Tensor:
    """Pictures less 10 `alpha` times what `blur` makes of them, and more by as much of themselves
    (unsharp masking); cut to 0..1.
    """
    return filtered(image, sharpening(sharpen_radius, sigma, alpha)).clamp(0, 1)


def sharpening(radius: int, sigma: float, alpha: float) -> Tensor:
    """A square kernel that sums to 1 and takes ten times `alpha` of what `_gaussian` blurs."""
    kernel = _gaussian(radius, sigma) * -(alpha * 10)
    kernel[radius, radius] += 1.0 - kernel.sum()
    return kernel


def _gaussian(radius: int, sigma: float) -> Tensor:
    """A square kernel that sums to 1; the distance from its middle to an edge is 1 for `sigma`."""
    steps = torch.linspace(-1, 1, 2 * radius + 1)
    distance = (steps[:, None].square() + steps.square()).sqrt()
    kernel = (-distance.square() / (2.0 * sigma * sigma)).exp()
    return kernel / kernel.sum()


def filtered(image: Tensor, kernel: Tensor) -> Tensor:
    """Pictures (B, H, W, C) under a square kernel, mirrored beyond their edges."""
    radius, channels = len(kernel) // 2, image.shape[-1]
    rows, columns = image.shape[1:3]
    if radius >= min(rows, columns):
        raise UserError(
            f"a radius of {radius} wants a picture larger than that, and this one has {columns} x "
            f"{rows} pixels; use a radius of at most {min(rows, columns) - 1}"
        )
    padded = F.pad(image.movedim(-1, 1), (radius,) * 4, "reflect")
    weights = kernel.to(image).expand(channels, 1, *kernel.shape)
    return F.conv2d(padded, weights, groups=channels).movedim(1, -1)


def _scaled(image: Tensor, width: int, height: int, method: str) -> Tensor:
    return resize(image.movedim(-1, 1), width, height, method).movedim(1, -1)
