"""The core's nodes that lay one picture or latent over another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ..batch_rows import of_length
from ..resize import MAX_RESOLUTION, resize
from ..sampling.sample import Latent
from .declare import core_node, integer, number
from .latent import FACTOR
from .masks import fade

_PIXELS = integer(0, 0, MAX_RESOLUTION, 1)
_LATENT_PIXELS = integer(0, 0, MAX_RESOLUTION, 8)
_RESIZE = ("BOOLEAN", {"default": False})
BLENDS = ["normal", "multiply", "screen", "overlay", "soft_light", "difference"]


@core_node(
    "ImageCompositeMasked",
    "image/compositing",
    {
        "destination": "IMAGE",
        "source": "IMAGE",
        "x": _PIXELS,
        "y": _PIXELS,
        "resize_source": _RESIZE,
    },
    "IMAGE",
    optional={"mask": "MASK"},
)
def images(
    destination: Tensor,
    source: Tensor,
    x: int,
    y: int,
    resize_source: bool,
    mask: Tensor | None = None,
) -> Tensor:
    """`source` over `destination` from (x, y) on, where `mask` is 1; what goes beyond is cut."""
    below, above = destination.movedim(-1, 1), with_channels(source, destination).movedim(-1, 1)
    return _over(below, above, x, y, mask, resize_source).movedim(1, -1)


@core_node(
    "LatentCompositeMasked",
    "model/latent",
    {
        "destination": "LATENT",
        "source": "LATENT",
        "x": _LATENT_PIXELS,
        "y": _LATENT_PIXELS,
        "resize_source": _RESIZE,
    },
    "LATENT",
    optional={"mask": "MASK"},
)
def latents(
    destination: Latent,
    source: Latent,
    x: int,
    y: int,
    resize_source: bool,
    mask: Tensor | None = None,
) -> Latent:
    """As ImageCompositeMasked, for latents; x and y are in pixels."""
    place = (x // FACTOR, y // FACTOR)
    below, above = destination["samples"], source["samples"]
    _require_alike(below, above)
    return {**destination, "samples": _over(below, above, *place, mask, resize_source)}


@core_node(
    "LatentComposite",
    "model/latent",
    {
        "samples_to": "LATENT",
        "samples_from": "LATENT",
        "x": _LATENT_PIXELS,
        "y": _LATENT_PIXELS,
        "feather": _LATENT_PIXELS,
    },
    "LATENT",
)
def feathered(samples_to: Latent, samples_from: Latent, x: int, y: int, feather: int) -> Latent:
    """A latent over another from (x, y) on, in pixels, fading towards its edges over `feather`
    pixels where they are not the edges of the other.
    """
    below, above = samples_to["samples"].clone(), samples_from["samples"]
    _require_alike(below, above)
    left, top, width = x // FACTOR, y // FACTOR, feather // FACTOR
    above = above[..., : max(0, below.shape[-2] - top), : max(0, below.shape[-1] - left)]
    place = below[..., top : top + above.shape[-2], left : left + above.shape[-1]]
    mask = torch.ones_like(above)
    # The second view has the rows of the mask for its columns.
    ramp = (1.0 / max(width, 1)) * torch.arange(1, width + 1, dtype=torch.float64)
    for view, inside, last in (
        (mask.mT, top > 0, False),
        (mask.mT, top + above.shape[-2] < below.shape[-2], True),
        (mask, left > 0, False),
        (mask, left + above.shape[-1] < below.shape[-1], True),
    ):
        if inside:
            fade(view, ramp, last)
    place.copy_(above if width == 0 else above * mask + place * (torch.ones_like(mask) - mask))
    return {**samples_to, "samples": below}


@core_node(
    "LatentBlend",
    "experimental",
    {"samples1": "LATENT", "samples2": "LATENT", "blend_factor": number(0.5, 0, 1, 0.01)},
    "LATENT",
)
def blend_latents(samples1: Latent, samples2: Latent, blend_factor: float) -> Latent:
    """Two latents mixed: `blend_factor` of the first; the second is brought to its size."""
    one, other = samples1["samples"], samples2["samples"]
    _require_alike(one, other)
    if one.shape[-2:] != other.shape[-2:]:
        other = resize(other, one.shape[-1], one.shape[-2], "bicubic", "center")
    return {**samples1, "samples": one * blend_factor + other * (1 - blend_factor)}


@core_node(
    "ImageBlend",
    "image/filters",
    {
        "image1": "IMAGE",
        "image2": "IMAGE",
        "blend_factor": number(0.5, 0.0, 1.0, 0.01),
        "blend_mode": BLENDS,
    },
    "IMAGE",
)
def blend(image1: Tensor, image2: Tensor, blend_factor: float, blend_mode: str) -> Tensor:
    """The second picture laid over the first by `blend_factor`, brought to its size.

    Modes as in W3C's Compositing and Blending (https://www.w3.org/TR/compositing-1/#blending);
    "difference" keeps its sign, as in the core, so that what is below 0 becomes black.
    """
    image2 = with_channels(image2, image1)
    if image1.shape[1:3] != image2.shape[1:3]:
        rows, columns = image1.shape[1:3]
        resized = resize(image2.movedim(-1, 1), columns, rows, "bicubic", "center")
        image2 = resized.movedim(1, -1)
    both = _blended(image1, image2, blend_mode)
    return (image1 * (1 - blend_factor) + both * blend_factor).clamp(0, 1)


@core_node("SplitImageWithAlpha", "image/compositing", {"image": "IMAGE"}, *("IMAGE", "MASK"))
def split(image: Tensor) -> tuple[Tensor, Tensor]:
    """The colours, and a mask that is 1 where the picture is transparent."""
    transparent = 1.0 - image[..., 3] if image.shape[-1] > 3 else torch.zeros(image.shape[:3])
    return image[..., :3], transparent


@core_node("JoinImageWithAlpha", "image/compositing", {"image": "IMAGE", "alpha": "MASK"}, "IMAGE")
def join(image: Tensor, alpha: Tensor) -> Tensor:
    """A picture with an alpha channel: transparent where the mask `alpha` is 1."""
    stacked = alpha.reshape(-1, 1, *alpha.shape[-2:]).to(image)
    mask = F.interpolate(stacked, size=tuple(image.shape[1:3]), mode="bilinear")[:, 0]
    count = max(len(image), len(mask))
    opaque = of_length(1.0 - mask, count)[..., None]
    return torch.cat([of_length(image, count)[..., :3], opaque], dim=-1)


def with_channels(source: Tensor, like: Tensor) -> Tensor:
    """A picture with as many channels as another: an alpha is cut off, or added and opaque."""
    missing = like.shape[-1] - source.shape[-1]
    return F.pad(source, (0, missing), value=1.0) if missing > 0 else source[..., : like.shape[-1]]


def _over(
    below: Tensor, above: Tensor, left: int, top: int, mask: Tensor | None, stretched: bool
) -> Tensor:
    """`above` over `below`, both (B, C, H, W), where `mask` (B, h, w) of any size is 1."""
    result = below.clone()
    if stretched:
        above = F.interpolate(above, size=tuple(below.shape[-2:]), mode="bilinear")
    above = of_length(above, len(below)).to(below)
    place = result[..., top : top + above.shape[-2], left : left + above.shape[-1]]
    rows, columns = place.shape[-2:]
    if mask is None:
        shares = torch.ones_like(place[:, :1])
    else:
        stacked = mask.reshape(-1, 1, *mask.shape[-2:]).to(below)
        stacked = F.interpolate(stacked, size=tuple(above.shape[-2:]), mode="bilinear")
        shares = of_length(stacked, len(below))[..., :rows, :columns]
    place.copy_(shares * above[..., :rows, :columns] + (1.0 - shares) * place)
    return result


def _require_alike(one: Tensor, other: Tensor) -> None:
    if one.shape[1] != other.shape[1] or len(other) not in (1, len(one)):
        raise UserError(
            f"the latents have the shapes {tuple(one.shape)} and {tuple(other.shape)}: channels "
            "have to be as many, and the second one, or as many as the first"
        )


def _blended(one: Tensor, other: Tensor, mode: str) -> Tensor:
    if mode == "normal":
        return other
    if mode == "multiply":
        return one * other
    if mode == "screen":
        return 1 - (1 - one) * (1 - other)
    if mode == "overlay":
        return torch.where(one <= 0.5, 2 * one * other, 1 - 2 * (1 - one) * (1 - other))
    if mode == "difference":
        return one - other
    lighter = torch.where(one <= 0.25, ((16 * one - 12) * one + 4) * one, one.sqrt())
    darkened = one - (1 - 2 * other) * one * (1 - one)
    return torch.where(other <= 0.5, darkened, one + (2 * other - 1) * (lighter - one))
