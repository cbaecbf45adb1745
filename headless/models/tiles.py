"""A network over a large picture in pieces that fade into each other, as ComfyUI's tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import torch
from torch import Tensor


def in_tiles(
    network: Callable[[Tensor], Tensor],
    picture: Tensor,
    tile: tuple[int, int],
    overlap: int,
    scale: float,
) -> Tensor:
    """What `network` makes of `picture` (1, C, H, W): (1, D, scale H, scale W).

    Pieces have the height and width of `tile` and share `overlap` pixels with their neighbours. A
    picture that fits into one is given as it is.
    """
    rows, columns = picture.shape[-2:]
    if rows <= tile[0] and columns <= tile[1]:
        return network(picture)
    size = round(rows * scale), round(columns * scale)
    total: Tensor | None = None
    weights = torch.zeros(1, 1, *size)
    places = product(_pieces(rows, tile[0], overlap), _pieces(columns, tile[1], overlap))
    for (top, height), (left, width) in places:
        piece = network(picture[..., top : top + height, left : left + width]).cpu()
        if total is None:  # the first piece tells how many channels there are
            total = torch.zeros(1, piece.shape[1], *size)
        fade = round(overlap * scale)
        share = _faded(piece.shape[-2], fade)[:, None] * _faded(piece.shape[-1], fade)
        down, right = round(top * scale), round(left * scale)
        place = (
            ...,
            slice(down, down + piece.shape[-2]),
            slice(right, right + piece.shape[-1]),
        )
        total[place] += piece * share
        weights[place] += share
    assert total is not None, "a picture has a piece"
    return total / weights


def _pieces(edge: int, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of an edge begin, and their lengths."""
    starts = range(0, edge - overlap, tile - overlap) if edge > tile else range(1)
    return ((start, min(tile, edge - start)) for start in starts)


def _faded(length: int, fade: int) -> Tensor:
    """Weights along an edge of a piece: rising and falling over what it shares with others."""
    weights = torch.ones(length)
    if 0 < fade < length:
        ramp = (torch.arange(1, fade + 1, dtype=torch.float64) / fade).float()
        weights[:fade] *= ramp
        weights[length - fade :] *= ramp.flip(0)
    return weights
