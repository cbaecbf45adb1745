"""What a hint shows, and what a ControlNet expects by its file's name; None where neither is sure.

A false alarm is worse than none: each rule asks for marks that right hints of other kinds do not
have, and what no rule knows has no kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from ..preprocessors.registry import PREPROCESSORS
from ..preprocessors.spec import Shows

Picture: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

EXPECTED: dict[Shows, str] = {
    "edges": "white lines on black",
    "pose": "a coloured skeleton on black",
    "depth": "smooth grey, near is white",
    "normals": "the colours of a normal map",
    "segmentation": "one flat colour a class",
}
"""What a net that follows such hints expects, for a person."""

_ALSO: dict[str, Shows] = {
    "pose": "pose",
    "dwpose": "pose",
    "lineart": "edges",
    "mistoline": "edges",
    "anyline": "edges",
    "pidinet": "edges",
    "teed": "edges",
    "zoe": "depth",
    "midas": "depth",
}
"""Words of file names beside those that the preprocessors tell."""

_ANYTHING = ("union", "promax", "multi", "all-in-one", "allinone", "tile", "inpaint", "ip2p",
             "shuffle", "recolor", "blur", "upscale", "brightness", "illumination", "qr",
             "xinsir_tile", "reference", "color", "gray", "luma")  # fmt: skip
"""Words of nets that take several kinds of hints, or kinds that are not told apart here."""

SPAN = 512
"""Pixels of a hint's longer edge that are looked at, at least; rows and columns are left out of a
larger one."""


@cache
def _words() -> dict[str, Shows]:
    """Words of file names -> what such a net's hints show: from the files that the preprocessors
    name as those that follow them (control_v11p_sd15_canny ...)."""
    named = {
        word: entry.shows
        for entry in PREPROCESSORS.values()
        for word in re.findall(r"control_\w*?sd15(?:s2)?_([a-z]+)", entry.controls)
        if entry.shows in EXPECTED
    }
    return {**named, **_ALSO}


def kind_of_net(name: str) -> Shows | None:
    """What the hints of a ControlNet show, by the name of its file; None where it has no word or
    words of several kinds."""
    lower = name.lower()
    if any(re.search(rf"(?<![a-z]){word}", lower) for word in _ANYTHING):
        return None
    kinds = {kind for word, kind in _words().items() if re.search(rf"(?<![a-z]){word}", lower)}
    return kinds.pop() if len(kinds) == 1 else None


def kind_of_hint(picture: Picture) -> Shows | None:
    """What a hint (H, W, 3) in 0..1 shows."""
    seen = _thinned(picture)
    return next((kind for kind, fits in _MARKS.items() if fits(seen)), None)


def is_inverted(picture: Picture) -> bool:
    """Whether a hint (H, W, 3) is a drawing of long thin dark lines on white, without colour."""
    import cv2

    seen = 1 - _thinned(picture)
    if not _is_lines(seen):
        return False
    drawn = (seen.mean(axis=2) > 0.3).astype(np.uint8)
    edge = max(drawn.shape)
    thickest = float(cv2.distanceTransform(drawn, cv2.DIST_L2, 3).max())
    count, _, parts, _ = cv2.connectedComponentsWithStats(drawn)
    parts = parts[1:count]  # the first is the ground
    extents = parts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    long = parts[extents > edge / 16, cv2.CC_STAT_AREA].sum()
    few = float(drawn.mean()) < 0.25
    return few and thickest < edge / 100 and bool(long > parts[:, cv2.CC_STAT_AREA].sum() / 3)


def _thinned(picture: Picture) -> Picture:
    stride = max(1, max(picture.shape[:2]) // SPAN)
    return picture[::stride, ::stride]


def _is_grey(picture: Picture) -> bool:
    chroma = picture.max(axis=2) - picture.min(axis=2)
    return float((chroma > 0.08).mean()) < 0.005


def _kept_by_opening(bright: Any) -> float:
    """The share of brightness (H, W) that is left where everything thinner than a twentieth of the
    picture is taken away: near 0 for lines."""
    import cv2

    edge = max(3, max(bright.shape) // 20)
    opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((edge, edge), np.uint8))
    return float(opened.sum() / max(float(bright.sum()), 1e-6))


def _is_skeleton(picture: Picture) -> bool:
    """Thin strokes of several strong colours on black."""
    bright = picture.max(axis=2)
    drawn = bright > 0.15
    share = float(drawn.mean())
    if not 0.002 < share < 0.25:
        return False
    colours = picture[drawn]
    vivid = (colours.max(axis=1) - colours.min(axis=1)) > 0.5 * colours.max(axis=1)
    hues = np.argmax(colours[vivid], axis=1) if vivid.any() else np.zeros(0)
    several = min((np.bincount(hues.astype(int), minlength=3) > 0.03 * len(hues)).sum(), 3)
    return bool(vivid.mean() > 0.7 and several == 3 and _kept_by_opening(bright) < 0.2)


def _is_lines(picture: Picture) -> bool:
    """Thin bright lines on black, without colour."""
    grey = picture.mean(axis=2)
    black = float((grey < 0.06).mean())
    if not _is_grey(picture) or black < 0.6 or black > 0.998 or grey.max() < 0.4:
        return False
    return _kept_by_opening(grey) < 0.1 and not _has_grey_surfaces(grey)


def _has_grey_surfaces(grey: Any) -> bool:
    """Whether much of what is lit is even and not white, as thin things in a depth map are; lines
    that are broad enough to be even are white."""
    import cv2

    square = np.ones((5, 5), np.uint8)
    lit = grey > 0.06
    even = lit & (cv2.dilate(grey, square) - cv2.erode(grey, square) < 0.02)
    much = even.sum() > 0.05 * lit.sum()
    return bool(much and np.median(grey[even]) < 0.9)


def _is_normals(picture: Picture) -> bool:
    """Vectors of length 1 that look at us, background aside."""
    there = picture.max(axis=2) > 0.06
    if float(there.mean()) < 0.2:
        return False
    vectors = 2 * picture[there] - 1
    length = np.linalg.norm(vectors, axis=1)
    unit = np.abs(length - 1) < 0.12
    facing = vectors[:, 2] > -0.1
    turned = vectors[:, :2].std(axis=0).min() > 0.05  # a sky is none
    return bool(unit.mean() > 0.9 and facing.mean() > 0.95 and turned)


def _is_flat(picture: Picture) -> bool:
    """A few colours, each in large even patches, without black around them."""
    bytes_ = np.round(picture * 255).astype(np.int64)
    codes = (bytes_[..., 0] << 16) + (bytes_[..., 1] << 8) + bytes_[..., 2]
    alike = (codes[:, 1:] == codes[:, :-1]).mean()
    _, counts = np.unique(codes, return_counts=True)
    large = counts[counts > codes.size * 0.002]
    black = float((bytes_.max(axis=2) < 16).mean())
    covered = large.sum() / codes.size
    colourful = not _is_grey(picture)
    return bool(
        colourful and alike > 0.93 and 3 <= len(large) <= 60 and covered > 0.97 and black < 0.5
    )


def _is_depth(picture: Picture) -> bool:
    """Smooth grey of many levels, with few sudden changes and few places of its largest contrast
    between them."""
    if not _is_grey(picture):
        return False
    grey = picture.mean(axis=2)
    steps = np.abs(np.diff(grey, axis=1))
    levels = len(np.unique(np.round(grey * 255)))
    smooth = float((steps < 0.012).mean())
    sudden = float((steps > 0.1).mean())
    return bool(levels > 40 and grey.std() > 0.08 and smooth > 0.9 and sudden < 0.03)


_MARKS: dict[Shows, Callable[[Picture], bool]] = {
    "pose": _is_skeleton,
    "edges": _is_lines,
    "normals": _is_normals,
    "segmentation": _is_flat,
    "depth": _is_depth,
}
