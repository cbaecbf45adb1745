"""The picture of the help pages: a house by a tree, with its depth and its classes.

Everything is drawn here, from far to near, so that depth and classes are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

EDGE = 512
FINE = 2 * EDGE
"""It is drawn twice as large and made smaller, so that edges are smooth."""

SKY, TREE, WINDOW, GRASS, DOOR, MOUNTAIN, HOUSE, FENCE, PATH = 2, 4, 8, 9, 14, 16, 25, 32, 52
"""Numbers of ADE20K's classes, from 0."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scene:
    """`rgb` uint8 H x W x 3, `depth` float32 H x W (near is 1, far 0), `labels` uint8 H x W."""

    rgb: Array
    depth: Array
    labels: Array


class _Canvas:
    """What is painted so far; all places are fractions of the edge, y downwards."""

    def __init__(self) -> None:
        self.y, self.x = np.mgrid[0:FINE, 0:FINE].astype(np.float32) / FINE
        self.rgb = np.zeros((FINE, FINE, 3), np.float32)
        self.depth = np.zeros((FINE, FINE), np.float32)
        self.labels = np.zeros((FINE, FINE), np.uint8)
        self._noise = np.random.default_rng(7)

    def speckle(self, strength: float, grain: int) -> Array:
        """Noise around 1, its grains `grain` fine pixels wide."""
        edge = FINE // grain
        coarse = self._noise.normal(0, 1, (edge, edge)).astype(np.float32)
        return 1 + strength * cv2.resize(coarse, (FINE, FINE), interpolation=cv2.INTER_CUBIC)

    def paint(self, where: Array, colour: Any, light: Any, depth: Any, label: int) -> None:
        """Cover `where` with `colour` (0..255) times `light`."""
        colours = np.broadcast_to(np.asarray(colour, np.float32), self.rgb.shape)
        lights = np.broadcast_to(np.asarray(light, np.float32), where.shape)
        self.rgb[where] = colours[where] * lights[where, None]
        self.depth[where] = np.broadcast_to(depth, where.shape)[where]
        self.labels[where] = label


def scene() -> Scene:
    """The house by the tree."""
    canvas = _Canvas()
    for part in (_land, _house, _tree, _fence):
        part(canvas)
    size = (EDGE, EDGE)
    rgb = cv2.resize(canvas.rgb.clip(0, 255), size, interpolation=cv2.INTER_AREA)
    return Scene(
        rgb.round().astype(np.uint8),
        cv2.resize(canvas.depth.clip(0, 1), size, interpolation=cv2.INTER_AREA),
        cv2.resize(canvas.labels, size, interpolation=cv2.INTER_NEAREST_EXACT),
    )


def _land(canvas: _Canvas) -> None:
    x, y = canvas.x, canvas.y
    everywhere = np.ones_like(y, bool)
    sky = np.stack([120 + 150 * y, 175 + 90 * y, 235 + 20 * y], axis=2)
    canvas.paint(everywhere, sky, 1, 0, SKY)
    canvas.paint(np.hypot(x - 0.16, y - 0.15) < 0.07, (255, 236, 150), 1, 0, SKY)
    hills = y > 0.44 - 0.13 * np.sin(4.2 * x + 0.3) * np.cos(9 * x)
    canvas.paint(hills, (96, 122, 160), 1.25 - 0.5 * y, 0.06, MOUNTAIN)
    near = ((y - 0.56) / 0.44).clip(0, 1)
    ground = 0.12 + 0.85 * near
    canvas.paint(y > 0.56, (98, 152, 62), canvas.speckle(0.09, 6) * (0.85 + 0.3 * near), ground,
                 GRASS)  # fmt: skip
    bend = 0.42 + 0.16 * near**1.4
    path = (y > 0.76) & (abs(x - bend) < 0.035 + 0.09 * near)
    canvas.paint(path, (206, 186, 150), canvas.speckle(0.05, 8), ground, PATH)


def _house(canvas: _Canvas) -> None:
    x, y = canvas.x, canvas.y
    boards = 1 - 0.14 * ((y * 42) % 1 < 0.14)
    wall = _polygon((0.60, 0.42), (0.75, 0.44), (0.75, 0.70), (0.60, 0.76))
    canvas.paint(wall, (196, 170, 138), boards, 0.46 - 1.2 * (x - 0.60), HOUSE)
    canvas.paint(_box(0.24, 0.42, 0.60, 0.76), (238, 214, 178), boards, 0.46, HOUSE)
    tiles = 1 - 0.25 * ((y * 36) % 1 < 0.2) - 0.1 * (((x - 0.3 * y) * 30) % 1 < 0.15)
    roof = _polygon((0.20, 0.43), (0.30, 0.22), (0.62, 0.24), (0.79, 0.45), (0.64, 0.43))
    canvas.paint(roof, (186, 66, 52), tiles, 0.48 - 0.6 * (0.43 - y), HOUSE)
    canvas.paint(_box(0.50, 0.16, 0.555, 0.30), (146, 84, 70), 1, 0.40, HOUSE)
    canvas.paint(_box(0.375, 0.545, 0.465, 0.76), (104, 64, 42), 1, 0.47, DOOR)
    canvas.paint(abs(np.hypot(x - 0.452, y - 0.66)) < 0.008, (240, 200, 90), 1, 0.47, DOOR)
    for left in (0.27, 0.495):
        canvas.paint(_box(left, 0.50, left + 0.08, 0.62), (250, 250, 244), 1, 0.47, WINDOW)
        for column in (0, 1):
            for row in (0, 1):
                corner = left + 0.008 + 0.034 * column, 0.508 + 0.055 * row
                pane = _box(*corner, corner[0] + 0.030, corner[1] + 0.047)
                canvas.paint(pane, (92, 130, 168), 1.5 - y, 0.46, WINDOW)


def _tree(canvas: _Canvas) -> None:
    x, y = canvas.x, canvas.y
    trunk = abs(x - 0.83) < 0.022 + 0.05 * (y - 0.66).clip(0, 1)
    bark = canvas.speckle(0.1, 6) * (1.2 - 9 * (x - 0.81).clip(0, 1))
    canvas.paint(trunk & (y > 0.45) & (y < 0.86), (116, 82, 54), bark, 0.66, TREE)
    leaves = canvas.speckle(0.16, 10)
    for across, down, radius in ((0.76, 0.44, 0.11), (0.91, 0.43, 0.10), (0.84, 0.30, 0.14)):
        bulge = np.sqrt((1 - ((x - across) ** 2 + (y - down) ** 2) / radius**2).clip(0, 1))
        light = 0.62 + 0.5 * bulge - 0.9 * (x - across + y - down)
        canvas.paint(bulge > 0, (62, 124, 58), light * leaves, 0.62 + 0.12 * bulge, TREE)


def _fence(canvas: _Canvas) -> None:
    white = (246, 244, 238)
    for top in (0.845, 0.915):
        canvas.paint(_box(0.0, top, 0.37, top + 0.022), white, 0.9, 0.9, FENCE)
    for left in np.arange(0.012, 0.34, 0.058):
        post = _polygon((left, 0.97), (left, 0.81), (left + 0.016, 0.785), (left + 0.032, 0.81),
                        (left + 0.032, 0.97))  # fmt: skip
        canvas.paint(post, white, 1, 0.93, FENCE)


def _box(left: float, top: float, right: float, bottom: float) -> Array:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _polygon(*corners: tuple[float, float]) -> Array:
    mask = np.zeros((FINE, FINE), np.uint8)
    cv2.fillPoly(mask, [np.round(np.array(corners) * FINE).astype(np.int32)], 1)
    return mask.astype(bool)
