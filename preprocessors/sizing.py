"""The size of a hint: which part of a picture fills which part of it, and how pictures are resized.

A hint is made at the size it is used at ("pixel perfect"): the picture is brought to that size
first, so that nothing that was found has to be resized after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from .opencv import opencv
from .picture import checked_size

Fit: TypeAlias = Literal["fill", "fit", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
"""fill: cut off what does not fit; fit: the whole picture between bars; stretch: both sides apart.
"fill" is what ComfyUI itself does to a hint of another shape than the latent's."""

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom edge in pixels."""

Picture: TypeAlias = npt.NDArray[Any]

AUTO_RESOLUTION = 1024
"""The shorter side above which a network does not look unless asked to: the largest that
ControlNets were trained at (SDXL's 1024 x 1024)."""


@dataclass(frozen=True)
class Placement:
    """The part `crop` of a picture fills the part `inner` of a hint of `size`."""

    crop: Box
    inner: Box
    size: Size

    @property
    def inner_size(self) -> Size:
        """Width and height of the part of the hint that the picture fills."""
        left, top, right, bottom = self.inner
        return right - left, bottom - top


def place(picture: Size, hint: Size, fit: Fit) -> Placement:
    """How a picture of one size fills a hint of another, centred. Raises UserError for a hint of no
    size or an enormous one."""
    checked_size(*hint, "The hint")
    whole: Box = (0, 0, *hint)
    if fit == "fill":
        return Placement(_middle(picture, hint), whole, hint)
    everything: Box = (0, 0, *picture)
    if fit == "fit":
        # The hint is cut by the picture's shape as fill cuts the picture by the hint's.
        return Placement(everything, _middle(hint, picture), hint)
    return Placement(everything, whole, hint)


def cut(picture: Picture, placement: Placement, drawn: bool = False) -> Picture:
    """The part of `picture` (H x W or H x W x C) that is seen, at the size it has in the hint."""
    left, top, right, bottom = placement.crop
    return resized(picture[top:bottom, left:right], placement.inner_size, drawn)


def paste(hint: Picture, placement: Placement, background: float) -> Picture:
    """`hint` (of the inner size) with bars of `background` around it, at the whole size."""
    width, height = placement.size
    if hint.shape[:2] == (height, width):
        return hint
    left, top, right, bottom = placement.inner
    whole = np.full((height, width, *hint.shape[2:]), background, hint.dtype)
    whole[top:bottom, left:right] = hint
    return whole


def resized(picture: Picture, size: Size, drawn: bool = False) -> Picture:
    """`picture` (H x W or H x W x C, uint8 or float32) at `size`; values stay in their range.

    Averages where it shrinks and Lanczos where it grows, as the annotators' own code does
    (`resize_image` in lllyasviel/ControlNet, `annotator/util.py`); `drawn` takes the nearest pixel,
    so that no colour or line is blended.
    """
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    cv2 = opencv()
    if drawn:
        way = cv2.INTER_NEAREST_EXACT
    elif size[0] * size[1] < width * height:
        way = cv2.INTER_AREA
    else:
        way = cv2.INTER_LANCZOS4
    result: Picture = cv2.resize(np.ascontiguousarray(picture), size, interpolation=way)
    # Lanczos overshoots; bytes are cut off by OpenCV itself.
    return result if picture.dtype == np.uint8 else result.clip(picture.min(), picture.max())


def looked_at(size: Size, resolution: int, what: str = "What the network looks at") -> Size:
    """The size at which a network looks at a part of `size`: its shorter side is `resolution`.

    0 is the size itself, but no more than AUTO_RESOLUTION. Raises UserError, which names it as
    `what`, where the longer side comes out too large.
    """
    shorter = min(size)
    wanted = resolution or min(shorter, AUTO_RESOLUTION)
    width, height = (max(1, round(side * wanted / shorter)) for side in size)
    checked_size(width, height, what)
    return width, height


def _middle(outer: Size, shape: Size) -> Box:
    """The largest middle part of `outer` that has the shape of `shape`, at least one pixel.

    Both sides lose the same whole number of pixels, as in ComfyUI's own scaling of hints.
    """
    width, height = outer
    right = round((width - min(width, height * shape[0] / shape[1])) / 2)
    below = round((height - min(height, width * shape[1] / shape[0])) / 2)
    right, below = min(right, (width - 1) // 2), min(below, (height - 1) // 2)
    return right, below, width - right, height - below
