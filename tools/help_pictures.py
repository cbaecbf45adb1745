"""Draws the pictures of the help pages: what a preprocessor is given, and its hint beside it.

One for each preprocessor without weights, all of the same scene. Draw them again after a change of
a preprocessor with: python -m tools.help_pictures
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

import controlstack
from controlstack.preprocessors import canny
from controlstack.preprocessors.registry import EXACT
from controlstack.preprocessors.spec import Preprocessor
from tools.help_scene import Scene, scene

IMAGES = Path(controlstack.__file__).parent / controlstack.WEB_DIRECTORY / "docs" / "images"
LARGEST = 24_000
"""Bytes: a page has to show at once."""

FROM_RESULTS = ("canny", "pose")
"""Their pictures are the demo model's: they show what follows the hint, too."""

SHOWN: Mapping[str, Mapping[str, Any]] = {"tile": {"down_sampling_rate": 8}}
"""Settings that show more than the defaults do."""

DRAWINGS = ("scribble", "invert")
"""Those that are given a drawing."""

BANDS = ("invert", "blur")
"""Of those half the height says all."""

EDGE, GAP = 192, 8

Array = npt.NDArray[Any]


def drawn() -> list[Preprocessor]:
    """The preprocessors whose pictures are drawn here."""
    return [entry for entry in EXACT if entry.name not in FROM_RESULTS]


def main() -> None:
    """Draw them all."""
    house = scene()
    for entry in drawn():
        path = IMAGES / f"{entry.name}.jpg"
        given, hint = _given_and_hint(entry, house)
        shown = [_small(given, entry), _small(hint, entry)]
        white = np.full((len(shown[0]), GAP, 3), 255, np.uint8)
        _save(np.hstack([shown[0], white, shown[1]]), path)
        print(path)


def _given_and_hint(entry: Preprocessor, house: Scene) -> tuple[Array, Array]:
    """Both as bytes, H x W x 3."""
    assert entry.run is not None
    settings = entry.settings(SHOWN.get(entry.name, {}))
    match entry.takes:
        case "depth":
            return _grey(house.depth * 255), entry.run(house.depth, **settings)
        case "labels":
            return house.rgb, entry.run(house.labels, **settings)
        case "masked picture":
            rgb, mask = house.rgb.astype(np.float32) / 255, _mask(house)
            hint = entry.run(rgb, mask, **settings)
            return _veiled(house.rgb, mask), _checkered((hint * 255).round())
        case _:
            given = _pencil(house.rgb) if entry.name in DRAWINGS else house.rgb
            return given, entry.run(given, **settings)


def _pencil(rgb: Array) -> Array:
    """The scene as a drawing, dark on light."""
    flat = cv2.bilateralFilter(rgb, 9, 60, 9)
    return 255 - cv2.dilate(canny.canny(flat, 60, 120), np.ones((3, 3), np.uint8))


def _mask(house: Scene) -> Array:
    """1 on the tree and a little around it."""
    tree = (house.labels == 4).astype(np.float32)
    return cv2.dilate(tree, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))


def _veiled(rgb: Array, mask: Array) -> Array:
    """The picture, white where it is masked, as mask editors show it."""
    seen = rgb * (1 - 0.7 * mask[:, :, None]) + 255 * 0.7 * mask[:, :, None]
    return seen.round().astype(np.uint8)


def _checkered(hint: Array) -> Array:
    """A chequered ground where the hint is below what a picture can show."""
    across, down = np.indices(hint.shape[:2]) // 16
    ground = np.where((across + down) % 2, 150, 200)[:, :, None]
    return np.where(hint < 0, ground, hint).astype(np.uint8)


def _grey(values: Array) -> Array:
    return np.repeat(values.round().astype(np.uint8)[:, :, None], 3, axis=2)


def _small(picture: Array, entry: Preprocessor) -> Array:
    grid = entry.name == "color_palette"
    way = cv2.INTER_NEAREST if grid else cv2.INTER_AREA
    small = cv2.resize(picture, (EDGE, EDGE), interpolation=way)
    return small[EDGE // 4 : -EDGE // 4] if entry.name in BANDS else small


def _save(picture: Array, path: Path) -> None:
    """As the best JPEG of no more than LARGEST bytes."""
    for quality in range(62, 34, -4):
        Image.fromarray(picture).save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size <= LARGEST:
            return
    raise ValueError(f"{path} stays over {LARGEST} bytes")


if __name__ == "__main__":
    main()
