"""Which part of a picture is seen at a step, and whether it is mirrored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...ground.errors import UserError
from ...preprocessors.making import Source, placed
from ...preprocessors.picture import checked_size
from ...preprocessors.pose.people import Pose
from ...preprocessors.sizing import Picture, Placement, Size, cut, place
from ..settings import DataSettings
from .buckets import nearest
from .mirror import mirrored_pose

MULTIPLE = 8
"""Pixels: both sides of training pictures are multiples of what one latent pixel covers."""


@dataclass(frozen=True)
class View:
    """How a picture is brought to the training's size; the same for its hint."""

    placement: Placement
    flip: bool

    def of(self, picture: Picture, drawn: bool = False) -> Picture:
        """What is seen of `picture` (H x W or H x W x C); `drawn` takes the nearest pixel."""
        part = cut(picture, self.placement, drawn)
        return np.ascontiguousarray(part[:, ::-1]) if self.flip else part

    def told(self, picture: Size) -> tuple[int, ...]:
        """What SDXL is told of a view of a picture of the size `picture` (see `training.sdxl`).

        A mirrored view is one of the mirrored picture: what is cut off at the right is at its left.
        """
        left, top, right, bottom = self.placement.crop
        width, height = self.placement.size
        cut_off = picture[0] - right if self.flip else left
        above = round(top * height / (bottom - top))
        beside = round(cut_off * width / (right - left))
        return picture[1], picture[0], above, beside, height, width

    def of_pose(self, pose: Pose, picture: Size) -> Pose:
        """What is seen of the people in a picture of the size `picture`, in the view's pixels."""
        seen = placed(pose, picture, self.placement)
        return mirrored_pose(seen, self.placement.size[0]) if self.flip else seen

    def of_source(self, source: Source, picture: Size, drawn: bool = False) -> Source:
        """What is seen of anything that a preprocessor takes."""
        if isinstance(source, Pose):
            return self.of_pose(source, picture)
        if isinstance(source, tuple):
            return self.of(source[0], drawn), self.of(source[1], drawn)
        return self.of(source, drawn)


def picture_size(settings: DataSettings) -> Size:
    """Width and height of the training pictures, in pixels.

    Raises UserError for a resolution that is no size, is no multiple of MULTIPLE, or is enormous.
    """
    numbers = settings.resolution.lower().replace("×", "x").split("x")
    try:
        sides = [int(number) for number in numbers]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < MULTIPLE or any(s % MULTIPLE for s in sides):
        raise UserError(
            f"The training data's resolution is {settings.resolution!r}; give one or two multiples "
            f"of {MULTIPLE}, such as 512 or 768x512 (width x height)."
        )
    checked_size(sides[0], sides[-1], "The training data's resolution")
    return sides[0], sides[-1]


def seen_size(picture: Size, settings: DataSettings) -> Size:
    """The size to which a picture of the size `picture` is brought: one for all, or its bucket's.
    Raises as `picture_size`.
    """
    size = picture_size(settings)
    return nearest(picture, size) if settings.buckets else size


def view_of(picture: Size, settings: DataSettings, seed: int) -> View:
    """The view that `seed` draws of a picture of the size `picture`.

    The largest part that has the training's shape, or its bucket's, is seen: the middle one, or
    with random crops one anywhere along the longer side.
    """
    placement = place(picture, seen_size(picture, settings), "fill")
    if settings.crop == "random":
        left, top, right, bottom = placement.crop
        wide, high = right - left, bottom - top
        across, down = _draws(seed)[1:]
        left = int(across * (picture[0] - wide + 1))
        top = int(down * (picture[1] - high + 1))
        placement = replace(placement, crop=(left, top, left + wide, top + high))
    return View(placement, is_mirrored(settings, seed))


def is_mirrored(settings: DataSettings, seed: int) -> bool:
    """Whether `seed` draws a mirrored picture, whatever its size."""
    return _draws(seed)[0] < settings.flip


def _draws(seed: int) -> list[float]:
    """Three numbers in 0..1: for the mirror, and for a crop's two coordinates."""
    draws: list[float] = np.random.default_rng(seed).random(3).tolist()
    return draws
