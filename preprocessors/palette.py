"""The colour palette of the T2I colour adapter: one flat colour for each 64 x 64 pixels.

Made as in that adapter's training, `AddSpatialPalette` in
https://github.com/TencentARC/T2I-Adapter (branch SD, `ldm/data/utils.py`): OpenCV's cubic
interpolation down to 1/64 and the nearest pixel up again. Cubic interpolation reads only the 4 x 4
pixels in the middle of each cell; that is what the adapter saw.
"""

from __future__ import annotations

import numpy as np

from .opencv import opencv
from .picture import Bytes, checked_rgb
from .spec import Preprocessor

CELL = 64
"""Pixels: the side of a cell."""


def color_palette(picture: Bytes) -> Bytes:
    """`picture` (uint8 RGB, H x W x 3) as a grid of flat colours, in a picture of the same kind.

    Where CELL does not divide a side, its cells are a little larger; there is one at least. Raises
    UserError for another kind of picture.
    """
    cv2 = opencv()
    height, width = picture.shape[:2]
    colours = cells(picture)
    # The plain form is faster, and right where its steps of 1 / CELL are exact; elsewhere the other
    # one gives cells of one size.
    plain = width % CELL == height % CELL == 0
    nearest = cv2.INTER_NEAREST if plain else cv2.INTER_NEAREST_EXACT
    flat = cv2.resize(colours, (width, height), interpolation=nearest)
    return np.asarray(flat, np.uint8)


def cells(picture: Bytes) -> Bytes:
    """The colours of the cells of `picture` (uint8 RGB, H x W x 3): one pixel each."""
    cv2 = opencv()
    whole = checked_rgb(picture, "Colour palette")
    height, width = whole.shape[:2]
    size = (max(1, width // CELL), max(1, height // CELL))
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_CUBIC), np.uint8)


COLOR_PALETTE = Preprocessor(
    name="color_palette",
    node="ControlStackColorPalette",
    title="Color Palette Hint",
    shows="picture",
    description=(
        "One flat colour for each 64 x 64 pixels of the picture, for the T2I colour adapter, which "
        "keeps the colours and their places."
    ),
    aliases=(
        *("color palette", "colour palette", "t2ia_color_grid", "ColorPreprocessor", "pixelate"),
        *("color grid", "mosaic", "调色板", "色块"),
    ),
    controls="Colour: t2iadapter_color_sd14v1",
    drawn=True,
    run=color_palette,
)
