"""Aspect buckets: sizes of about one area, of which a picture takes the one nearest to its shape.

So little is cut off, and the pictures of a batch still have one size. The idea is that of NovelAI
("Improvements on Stable Diffusion", 2022, blog.novelai.net): sides in steps, areas up to the one
asked for.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ...preprocessors.sizing import Size

WIDEST = 2.5
"""The longer side of a bucket by its shorter one, at most: longer pictures lose their ends."""
_STEP, _STEPS, _GRAIN = 64, 8, 8
"""Sides differ by 64 pixels, or an eighth where they are smaller; always by a multiple of 8."""


@lru_cache
def bucket_sizes(area: Size) -> tuple[Size, ...]:
    """The sizes (width, height) of buckets for the training's size `area`, narrow ones first.

    `area` itself is among them. They are turned about, too.
    """
    pixels = area[0] * area[1]
    side = math.sqrt(pixels)
    step = min(max(int(side / _STEPS) // _GRAIN * _GRAIN, _GRAIN), _STEP)
    sizes = {area}
    for short in range(step, int(side) + 1, step):
        long = pixels // short // step * step
        if long <= WIDEST * short:
            sizes |= {(short, long), (long, short)}
    return tuple(sorted(sizes, key=lambda size: (size[0] / size[1], size)))


def nearest(picture: Size, area: Size) -> Size:
    """The bucket whose shape is nearest to that of `picture`; of two as near, the larger one."""
    shape = math.log(picture[0] / picture[1])
    return min(
        bucket_sizes(area),
        key=lambda size: (abs(math.log(size[0] / size[1]) - shape), -size[0] * size[1]),
    )
