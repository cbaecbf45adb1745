"""What the rows of a call see of a control's pictures: which one each, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import UserError
from ..ground.latents import LATENT_PIXELS
from .call import Area, Call

AreaHint = Literal["whole", "crop"]
AREA_HINTS: tuple[str, ...] = get_args(AreaHint)

Frames = Literal["repeat", "hold", "loop", "strict"]
FRAMES: tuple[str, ...] = get_args(Frames)


@dataclass(frozen=True)
class Seen:
    """What one call sees: a picture and an area of it for each row, `repeats` times over."""

    rows: tuple[tuple[int, Area | None], ...]
    repeats: int
    latent: tuple[int, int]
    partial: bool

    @property
    def crops(self) -> bool:
        """Whether areas are cut out."""
        return any(area is not None for _, area in self.rows)

    def as_they_come(self, count: int) -> bool:
        """Whether a host that is given all `count` pictures, and repeats them from the first again,
        comes to the same. Not those of all pictures for some of them: ComfyUI gives as many as its
        batch has, with all conditionings, to rows of other pictures (`broadcast_image_to`)."""
        in_order = [(i % count, None) for i in range(len(self.rows))]
        fits = count <= len(self.rows) or not self.partial
        return list(self.rows) == in_order and fits

    def of(self, pictures: Tensor) -> Tensor:
        """The rows' pictures (rows, C, h, w) of all (N, C, H, W), or those as they come."""
        if self.as_they_come(len(pictures)):
            return pictures
        if not self.crops:
            return pictures[[number for number, _ in self.rows]]
        size = self.latent[0] * LATENT_PIXELS, self.latent[1] * LATENT_PIXELS
        # As the host resizes: to the nearest pixel, cropped about the centre.
        full = F.interpolate(middle(pictures, size[1] / size[0]), size=size, mode="nearest-exact")
        return torch.cat([_cut(full[i : i + 1], area) for i, area in self.rows])

    def each(self, pictures: Tensor) -> Tensor:
        """A picture (B, C, h, w) for each row, `repeats` times over, of all (N, C, H, W); a single
        one where every row takes the same."""
        if self.crops:
            return self.of(pictures).repeat(self.repeats, 1, 1, 1)
        numbers = [number for number, _ in self.rows] * self.repeats
        return pictures[numbers[:1] if len(set(numbers)) == 1 else numbers]


@dataclass(frozen=True)
class View:
    """How a control's pictures are laid to the pictures that are sampled.

    Args:
        frames: which hint a picture takes that has none of its own: "repeat" from the first again,
            as ComfyUI does, "hold" the last, "loop" back and forth, "strict" raises UserError.
        area_hint: what a conditioning with an area sees: "whole" squeezes all of the picture into
            the area, as ComfyUI does; "crop" takes the part that lies there.
    """

    frames: Frames = "repeat"
    area_hint: AreaHint = "whole"

    def __call__(self, call: Call, count: int) -> Seen:
        """What `call` sees of `count` pictures."""
        rows = [
            (self.number(row.picture, count), row.area if self.area_hint == "crop" else None)
            for row in call.rows
        ]
        size = len(rows) // call.chunks
        first = rows[:size]
        alike = first * call.chunks == rows
        repeats = call.chunks if alike else 1
        # Only "repeat" is left to the host, whose own rule it is.
        told = call.partial or self.frames != "repeat"
        return Seen(tuple(first if alike else rows), repeats, call.latent, told)

    def spread(self, pictures: Tensor, count: int) -> Tensor:
        """`count` pictures of those there are; a single one stands for all."""
        if len(pictures) in (1, count):
            return pictures.expand(count, *pictures.shape[1:])
        return pictures[[self.number(i, len(pictures)) for i in range(count)]]

    def number(self, picture: int, count: int) -> int:
        """Which of `count` pictures stands for picture `picture` of the run, both from 0."""
        if picture < count or count == 1:
            return min(picture, count - 1)
        if self.frames == "strict":
            raise UserError(
                f"picture {picture + 1} of this run has none of its own here: there are {count}. "
                "Give as many as there are pictures, or choose repeat, hold or loop."
            )
        if self.frames == "hold":
            return count - 1
        if self.frames == "loop":
            there = picture % (2 * count - 2)
            return min(there, 2 * count - 2 - there)
        return picture % count


def middle(pictures: Tensor, aspect: float) -> Tensor:
    """The largest middle part (B, C, h, w) of (B, C, H, W) with w / h of about `aspect`; at least
    one row and one column.
    """
    height, width = pictures.shape[-2:]
    # In this order as in ComfyUI: an odd rest is half a pixel each side, and rounding decides.
    own = width / height
    off_x = round((width - width * (aspect / own)) / 2) if own > aspect else 0
    off_y = round((height - height * (own / aspect)) / 2) if own < aspect else 0
    off_y, off_x = min(off_y, (height - 1) // 2), min(off_x, (width - 1) // 2)
    return pictures[..., off_y : height - off_y, off_x : width - off_x]


def _cut(picture: Tensor, area: Area | None) -> Tensor:
    if area is None:
        return picture
    height, width, top, left = (LATENT_PIXELS * edge for edge in area)
    return picture[..., top : top + height, left : left + width]
