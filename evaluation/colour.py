"""Does a named thing have its named colour?"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .edges import Mask
from .silhouette import SATURATED, saturation

RGB = tuple[int, int, int]


def hue(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HSV hue (h, w) in degrees, 0..360, of an RGB picture (h, w, 3); 0 for grey."""
    channels = rgb.astype(np.float32)
    high, low = channels.max(axis=-1), channels.min(axis=-1)
    spread = np.maximum(high - low, 1e-6)
    red, green, blue = np.moveaxis(channels, -1, 0)
    sector = np.select(
        [high == red, high == green],
        [(green - blue) / spread, 2 + (blue - red) / spread],
        4 + (red - green) / spread,
    )
    return np.asarray((sector * 60) % 360, np.float32)


def colour_name(rgb: NDArray[np.uint8], where: Mask, names: Mapping[str, RGB]) -> str | None:
    """The name whose hue is nearest to the mean hue (on the circle) of the vivid pixels in `where`;
    None when fewer than half of them are vivid.
    """
    vivid = where & (saturation(rgb) > SATURATED)
    if not where.any() or vivid.sum() < 0.5 * where.sum():
        return None
    angles = np.radians(hue(rgb)[vivid])
    mean = np.degrees(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean()))
    return min(names, key=lambda name: _apart(float(mean), _hue_of(names[name])))


def colour_accuracy(
    rgb: NDArray[np.uint8],
    parts: Mapping[str, Mask],
    wanted: Mapping[str, str],
    names: Mapping[str, RGB],
) -> tuple[int, int]:
    """(right, asked): how many of the `wanted` part -> colour name pairs the picture shows, within
    each part's mask.
    """
    asked = [(part, colour) for part, colour in wanted.items() if part in parts]
    right = sum(colour_name(rgb, parts[part], names) == colour for part, colour in asked)
    return right, len(asked)


def _hue_of(colour: RGB) -> float:
    return colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))[0] * 360


def _apart(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)
