"""The host's tensors as the arrays that preprocessors take, and hints as the host's IMAGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..ground.errors import UserError
from ..ground.latents import latent_pixels
from ..preprocessors.making import Source
from ..preprocessors.sizing import Picture, Size
from ..preprocessors.spec import Hint, Takes


def sources(takes: Takes, image: Tensor, mask: Tensor | None = None) -> list[Source]:
    """Each picture of IMAGE (B, H, W, C) in 0..1 as what a preprocessor `takes`.

    A picture of four channels is laid on white, as the annotators lay it (`on_white` of
    `preprocessors.picture_files`); of depths and labels, which are numbers, alpha is left out.
    `mask` is MASK (B or 1, h, w) in 0..1 for a masked picture. Raises UserError for another shape,
    and for a mask that has another number of pictures.
    """
    rgb = _rgb(image, on_white=takes in ("picture", "masked picture"))
    if takes == "masked picture":
        if mask is None:
            raise UserError("This hint needs a MASK beside its picture; connect one.")
        return list(zip(rgb.numpy(), _masks(mask, rgb), strict=True))
    if takes == "depth":
        return list(rgb.mean(dim=3).numpy())
    # Rounding gives a loaded picture its own bytes again and does not darken what was computed.
    pictures: Picture = rgb.mul(255).round().to(torch.uint8).numpy()
    return list(pictures[..., 0]) if takes == "labels" else list(pictures)


def hints_of(image: Tensor) -> list[Hint]:
    """Each hint of IMAGE (B, H, W, C) as float32 (H, W, 3) in 0..1. Raises as `sources` does."""
    return list(_rgb(image).numpy())


def image_of(hints: Sequence[Hint]) -> Tensor:
    """Hints of one size -> IMAGE (B, H, W, 3): bytes become 0..1, floats stay as they are."""
    made = torch.from_numpy(np.stack(hints))
    return made.float() / 255 if made.dtype == torch.uint8 else made


def of_picture(picture: Image.Image) -> Tensor:
    """One RGB picture -> IMAGE (1, H, W, 3) in 0..1."""
    return image_of([np.asarray(picture)])


def size_of(latent: Mapping[str, Any]) -> Size:
    """Width and height in pixels of the picture that `latent` (LATENT) will be decoded to: by its
    own word (`downscale_ratio_spacial`), else by its shape."""
    shape = latent["samples"].shape
    ratio = int(latent.get("downscale_ratio_spacial") or latent_pixels(shape))
    height, width = shape[-2:]
    return int(width) * ratio, int(height) * ratio


def size_of_picture(image: Tensor) -> Size:
    """Width and height of IMAGE (B, H, W, C). Raises UserError where it is none."""
    height, width = _rgb(image[:1]).shape[1:3]
    return int(width), int(height)


def require_image(image: Tensor) -> None:
    """Raise UserError unless IMAGE is (B, H, W, C) of 1, 3 or 4 channels, and holds a picture."""
    if image.ndim != 4 or image.shape[3] not in (1, 3, 4) or image.numel() == 0:
        raise UserError(
            f"A hint needs an IMAGE of batch x height x width x 3 (RGB), and this one is "
            f"{' x '.join(map(str, image.shape))}; convert it first."
        )


def _rgb(image: Tensor, on_white: bool = False) -> Tensor:
    """IMAGE -> float32 (B, H, W, 3) in 0..1: grey is repeated, NaN black, alpha left out unless
    the colours are laid `on_white`."""
    require_image(image)
    plain = image.detach().float().cpu().nan_to_num(0.0).clamp(0, 1)
    if image.shape[3] == 1:
        return plain.repeat(1, 1, 1, 3)
    colours, alpha = plain[..., :3], plain[..., 3:]
    return colours * alpha + (1 - alpha) if on_white and image.shape[3] == 4 else colours


def _masks(mask: Tensor, pictures: Tensor) -> list[Picture]:
    """One mask (H, W) for each of `pictures`; a mask of another size is stretched over it."""
    count, height, width = pictures.shape[:3]
    masks = mask.detach().float().cpu().nan_to_num(0.0).clamp(0, 1).reshape(-1, *mask.shape[-2:])
    if masks.numel() == 0 or len(masks) not in (1, count):
        raise UserError(
            f"There are {count} pictures and {len(masks)} masks; give one mask, or one a picture."
        )
    if masks.shape[1:] != (height, width):
        masks = torch.nn.functional.interpolate(masks[:, None], (height, width), mode="nearest")[
            :, 0
        ]
    return list(masks.expand(count, -1, -1).numpy())
