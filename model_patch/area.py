"""A hint or mask cut to the area of the conditioning that is being sampled.

ComfyUI squeezes the whole hint into every area; cut, it stays where it is in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Area: TypeAlias = tuple[int, int, int, int]
"""Height, width, top and left in latent pixels, as ComfyUI's conditioning has them."""

LATENT_PIXELS = 8
"""Picture pixels to a latent pixel (in Stable Diffusion 1 to 3, SDXL, Flux and Qwen-Image)."""


def cut_to_areas(
    pictures: Tensor, areas: Sequence[Area | None], latent: tuple[int, int], rows: int
) -> Tensor:
    """The part of each area, for a batch that holds the areas one after another.

    Args:
        pictures: (B, C, H, W), for the whole picture.
        areas: one entry a chunk of the batch; None is the whole picture. All of one size.
        latent: height and width of the whole latent.
        rows: rows in one chunk.

    Returns:
        (B, C, 8h, 8w) where all areas are the same, else (chunks * rows, C, 8h, 8w), in the
        chunks' order; the whole is first resized as the host does, to the nearest pixel and
        cropped about its centre.
    """
    size = latent[0] * LATENT_PIXELS, latent[1] * LATENT_PIXELS
    full = F.interpolate(middle(pictures, size[1] / size[0]), size=size, mode="nearest-exact")
    pieces = [_cut(full, area) for area in areas]
    if len(set(areas)) == 1:
        return pieces[0]
    indices = torch.arange(rows) % len(full)
    return torch.cat([piece[indices] for piece in pieces])


def middle(pictures: Tensor, aspect: float) -> Tensor:
    """The largest middle part (B, C, h, w) of (B, C, H, W) with w / h of about `aspect`; at least
    one row and one column.
    """
    height, width = pictures.shape[-2:]
    off_x = round((width - height * aspect) / 2) if width / height > aspect else 0
    off_y = round((height - width / aspect) / 2) if width / height < aspect else 0
    off_y, off_x = min(off_y, (height - 1) // 2), min(off_x, (width - 1) // 2)
    return pictures[..., off_y : height - off_y, off_x : width - off_x]


def _cut(picture: Tensor, area: Area | None) -> Tensor:
    if area is None:
        return picture
    height, width, top, left = (LATENT_PIXELS * side for side in area)
    return picture[..., top : top + height, left : left + width]
