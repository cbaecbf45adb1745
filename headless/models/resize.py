"""Pictures brought to a size and to a batch by the core's rules: hints land on the same pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_cropped(image: Tensor, width: int, height: int, mode: str = "nearest-exact") -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width) after cutting the centre to the target's aspect.

    The cut is rounded to whole pixels on each side and therefore always symmetric; `mode` is one of
    torch's interpolation modes.
    """
    rows, columns = image.shape[-2:]
    aspect, wanted = columns / rows, width / height
    left = top = 0
    if aspect > wanted:
        left = round((columns - columns * (wanted / aspect)) / 2)
    elif aspect < wanted:
        top = round((rows - rows * (aspect / wanted)) / 2)
    cut = image[..., top : rows - top, left : columns - left]
    return F.interpolate(cut, size=(height, width), mode=mode)


def broadcast_batch(images: Tensor, batch: int, conditionings: int) -> Tensor:
    """Spread hints (N, ...) over a sampling batch made of `conditionings` blocks of equal size.

    One hint stays one row and broadcasts by itself, as many hints as rows are taken as they are.
    Otherwise they are cut or repeated to the size of one block, and that block is repeated for
    every conditioning (cond, uncond, areas).
    """
    if images.shape[0] in (1, batch):
        return images
    block = batch // conditionings
    repeats = -(-block // images.shape[0])
    rows = torch.cat([images] * repeats)[:block]
    return rows if block == batch else torch.cat([rows] * conditionings)
