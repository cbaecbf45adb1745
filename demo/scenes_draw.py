"""Draws a scene: picture, depth and the mask of each named part, from signed distances with soft
one-pixel edges.

Background saturation stays under 0.15 and foreground saturation over 0.45 (HSV), so that a
silhouette is a threshold; the horizon and the shadows are too soft for Canny at 100/200, shading is
smooth, and what is left for it are outlines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scenes import COLOURS, SIZE, Person, Scene, Solid

Field = NDArray[np.float32]
_Y, _X = (np.mgrid[0:SIZE, 0:SIZE] + 0.5).astype(np.float32)
_LIGHT = (-0.55, -0.6, 0.58)
_SHOES = (96, 54, 26)


@dataclass(frozen=True)
class Drawing:
    """`rgb` uint8 (128, 128, 3); `depth` float32 (128, 128), near 1 and far 0; `parts` boolean
    masks of what is visible.
    """

    rgb: NDArray[np.uint8]
    depth: Field
    parts: dict[str, NDArray[np.bool_]]


class _Canvas:
    """The picture while it is painted from far to near."""

    def __init__(self, scene: Scene) -> None:
        self.names: list[str] = []
        self.owner = np.full((SIZE, SIZE), -1, np.int16)
        below = 1 / (1 + np.exp(-(_Y - scene.horizon) / 5))
        sky = np.array(scene.sky, np.float32) + (_Y[..., None] - 30) * np.float32(0.12)
        ground = np.array(scene.ground, np.float32) - (_Y[..., None] - 90) * np.float32(0.12)
        self.rgb: Field = sky + (ground - sky) * below[..., None].astype(np.float32)
        self.depth: Field = np.maximum(0, ground_depth(scene, _Y)).astype(np.float32)

    def shadow(self, x: float, y: float, rx: float, ry: float) -> None:
        """A soft grey ellipse on the ground, leaning away from the light."""
        inside = ((_X - x - 0.35 * rx) / rx) ** 2 + ((_Y - y) / ry) ** 2
        self.rgb *= (1 - 0.2 * np.exp(-inside))[..., None]

    def paint(
        self,
        name: str,
        sdf: Field,
        colour: tuple[int, int, int],
        shade: Field | float,
        depth: Field | float,
    ) -> None:
        """Cover where `sdf` < 0 (pixels) with `colour` times `shade`."""
        alpha = np.clip(0.5 - sdf, 0, 1).astype(np.float32)
        lit = np.minimum(
            np.array(colour, np.float32) * np.asarray(shade, np.float32)[..., None], 255
        )
        self.rgb += (lit - self.rgb) * alpha[..., None]
        inside = alpha > 0.5
        self.depth = np.where(inside, depth, self.depth).astype(np.float32)
        if name not in self.names:
            self.names.append(name)
        self.owner[inside] = self.names.index(name)

    def finish(self) -> Drawing:
        depth = self.depth - self.depth.min()
        parts = {name: self.owner == index for index, name in enumerate(self.names)}
        rgb = np.clip(np.rint(self.rgb), 0, 255).astype(np.uint8)
        return Drawing(rgb, (depth / depth.max()).astype(np.float32), parts)


def ground_depth(scene: Scene, row: Field | float) -> Field:
    """Nearness of the ground at a row: 0 at the horizon, 0.6 at the bottom of the picture."""
    return np.asarray(0.6 * (row - scene.horizon) / (SIZE - scene.horizon), np.float32)


def draw_scene(scene: Scene) -> Drawing:
    """Draw a scene. Parts are named by the solid's kind, or `shirt`, `trousers`, `skin`, `hair`,
    `shoes`.
    """
    canvas = _Canvas(scene)
    things: list[Solid | Person] = [*scene.solids]
    if scene.person is not None:
        things.append(scene.person)
    for thing in things:
        half = thing.width / 2 if isinstance(thing, Solid) else 0.17 * thing.height
        canvas.shadow(_middle(thing), thing.base - 2, half * 1.15, max(half * 0.3, 7))
    for thing in sorted(things, key=lambda t: t.base):
        near = float(ground_depth(scene, thing.base)) + 0.18
        if isinstance(thing, Solid):
            _SOLIDS[thing.kind](canvas, thing, near)
        else:
            _person(canvas, thing, near)
    return canvas.finish()


def _middle(thing: Solid | Person) -> float:
    return thing.x if isinstance(thing, Solid) else (thing.joints[8][0] + thing.joints[11][0]) / 2


def _half_planes(*corners: tuple[float, float]) -> Field:
    """Signed distance to a convex polygon, corners clockwise as seen, exact near edges."""
    distance = np.full((SIZE, SIZE), -1e9, np.float32)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        outwards = ((_X - x0) * (y1 - y0) - (_Y - y0) * (x1 - x0)) / length
        distance = np.maximum(distance, outwards)
    return distance


def _ellipse(x: float, y: float, rx: float, ry: float) -> Field:
    """Signed distance to an ellipse, first order: the implicit value over its gradient's length."""
    dx, dy = (_X - x) / rx, (_Y - y) / ry
    value = np.hypot(dx, dy)
    slope = np.hypot(dx / rx, dy / ry) + np.float32(1e-6)
    return np.asarray(value * (value - 1) / slope, np.float32)


def _capsule(a: tuple[float, float], b: tuple[float, float], radius: float) -> tuple[Field, Field]:
    """Signed distance to a thick line, and its shading across (lit from the upper left)."""
    ax, ay, bx, by = *a, *b
    dx, dy = bx - ax, by - ay
    along = np.clip(((_X - ax) * dx + (_Y - ay) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
    ox, oy = _X - ax - along * dx, _Y - ay - along * dy
    tilt = (ox * _LIGHT[0] + oy * _LIGHT[1]) / radius
    return np.hypot(ox, oy) - radius, np.asarray(0.88 + 0.14 * np.clip(tilt, -1, 1), np.float32)


def _ball(canvas: _Canvas, solid: Solid, near: float) -> None:
    r = solid.width / 2
    x, y = solid.x, solid.base - r
    dx, dy = (_X - x) / r, (_Y - y) / r
    dz = np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
    lambert = np.clip(dx * _LIGHT[0] + dy * _LIGHT[1] + dz * _LIGHT[2], 0, 1)
    shade = 0.62 + 0.46 * lambert
    canvas.paint(
        solid.kind, np.hypot(_X - x, _Y - y) - r, COLOURS[solid.colour], shade, near + 0.16 * dz
    )


def _box(canvas: _Canvas, solid: Solid, near: float) -> None:
    colour, skew = COLOURS[solid.colour], solid.width * 0.22
    left, right = solid.x - solid.width / 2, solid.x + solid.width / 2 - skew
    top, bottom = solid.base - solid.height + skew * 0.8, solid.base
    rise = skew * 0.8
    roof = _half_planes(
        (left, top), (left + skew, top - rise), (right + skew, top - rise), (right, top)
    )
    side = _half_planes(
        (right, top), (right + skew, top - rise), (right + skew, bottom - rise), (right, bottom)
    )
    front = _half_planes((left, top), (right, top), (right, bottom), (left, bottom))
    back = np.clip((top - _Y) / rise, 0, 1) * 0.1
    canvas.paint(solid.kind, roof, colour, 1.06, near + 0.1 - back)
    canvas.paint(
        solid.kind, side, colour, 0.52, near + 0.1 - np.clip((_X - right) / skew, 0, 1) * 0.1
    )
    canvas.paint(solid.kind, front, colour, 0.76 + 0.0012 * (solid.base - _Y), near + 0.1)


def _round(solid: Solid) -> Field:
    """Position across a round solid, -1 at the left edge to 1 at the right."""
    return np.asarray(np.clip((_X - solid.x) / (solid.width / 2), -1, 1), np.float32)


def _cylinder(canvas: _Canvas, solid: Solid, near: float) -> None:
    colour, r = COLOURS[solid.colour], solid.width / 2
    flat = r * 0.3
    top, bottom = solid.base - solid.height + flat, solid.base - flat
    x0, x1 = solid.x - r, solid.x + r
    wall = _half_planes((x0, top), (x1, top), (x1, bottom), (x0, bottom))
    body = np.minimum(wall, _ellipse(solid.x, bottom, r, flat))
    across = _round(solid)
    bulge = np.sqrt(np.clip(1 - across**2, 0, 1)).astype(np.float32)
    shade = (0.66 - 0.16 * across + 0.06 * bulge).astype(np.float32)
    canvas.paint(solid.kind, body, colour, shade, np.float32(near) + np.float32(0.14) * bulge)
    canvas.paint(solid.kind, _ellipse(solid.x, top, r, flat), colour, 1.07, near + 0.05)


def _cone(canvas: _Canvas, solid: Solid, near: float) -> None:
    r = solid.width / 2
    flat = r * 0.26
    tip, bottom = solid.base - solid.height, solid.base - flat
    sides = _half_planes((solid.x, tip), (solid.x + r, bottom), (solid.x - r, bottom))
    body = np.minimum(sides, _ellipse(solid.x, bottom, r, flat))
    spread = np.clip((_Y - tip) / (bottom - tip), 0.25, 1)
    across = np.clip((_X - solid.x) / (r * spread), -1, 1)
    bulge = np.sqrt(np.clip(1 - across**2, 0, 1))
    canvas.paint(
        solid.kind,
        body,
        COLOURS[solid.colour],
        0.84 - 0.2 * across + 0.06 * bulge,
        near + 0.14 * bulge * spread,
    )


_SOLIDS = {"ball": _ball, "box": _box, "cone": _cone, "cylinder": _cylinder}


def _person(canvas: _Canvas, person: Person, near: float) -> None:
    j, h = person.joints, person.height
    shirt, trousers = COLOURS[person.shirt], COLOURS[person.trousers]
    arm, leg, head = max(0.046 * h, 3.6), max(0.056 * h, 4.0), 0.098 * h

    def limb(name: str, a: int, b: int, radius: float, colour: tuple[int, int, int]) -> None:
        sdf, shade = _capsule(j[a], j[b], radius)
        canvas.paint(name, sdf, colour, shade, near + 0.08 * np.clip(-sdf / radius, 0, 1))

    for knee, ankle in ((9, 10), (12, 13)):
        x, y = j[ankle]
        toe = 0.03 * h * (-1 if ankle == 10 else 1)
        sdf, shade = _capsule((x, y + 0.012 * h), (x + toe, y + 0.012 * h), leg * 0.82)
        canvas.paint("shoes", sdf, _SHOES, shade, near + 0.05)
        limb("trousers", knee, ankle, leg * 0.9, trousers)
        limb("trousers", knee - 1, knee, leg, trousers)
    limb("trousers", 8, 11, leg * 1.05, trousers)
    _torso(canvas, person, shirt, near)
    sdf, shade = _capsule(j[1], j[0], 0.04 * h)
    canvas.paint("skin", sdf, person.skin, shade * 0.9, near + 0.06)
    for shoulder in (2, 5):
        limb("skin", shoulder + 1, shoulder + 2, arm * 0.92, person.skin)
        limb("shirt", shoulder, shoulder + 1, arm * 1.08, shirt)
    _head(canvas, person, head, near)


def _torso(canvas: _Canvas, person: Person, colour: tuple[int, int, int], near: float) -> None:
    j, h = person.joints, person.height
    rounding = 0.045 * h
    waist = [
        (j[i][0] + (j[1][0] - j[i][0]) * 0.08, j[i][1] + (j[1][1] - j[i][1]) * 0.08)
        for i in (8, 11)
    ]
    sdf = _half_planes(j[2], j[5], waist[1], waist[0]) - rounding
    centre = (j[1][0] + waist[0][0] / 2 + waist[1][0] / 2) / 2
    across = np.clip((_X - centre) / np.float32(0.16 * h), -1, 1)
    canvas.paint("shirt", sdf, colour, 0.92 - 0.1 * across, near + 0.08 * (1 - across**2))


def _head(canvas: _Canvas, person: Person, r: float, near: float) -> None:
    (nx, ny), (kx, ky) = person.joints[0], person.joints[1]
    length = float(np.hypot(nx - kx, ny - ky))
    ux, uy = (nx - kx) / length, (ny - ky) / length
    x, y = nx + ux * r * 0.12, ny + uy * r * 0.12
    dx, dy = (_X - x) / r, (_Y - y) / r
    lit = 0.9 + 0.12 * np.clip(dx * _LIGHT[0] + dy * _LIGHT[1], -1, 1)
    skull = np.hypot(_X - x, _Y - y) - r
    canvas.paint("skin", skull, person.skin, lit, near + 0.1)
    above = 0.28 * r - ((_X - x) * ux + (_Y - y) * uy)
    crown = np.hypot(_X - x, _Y - y) - r * 1.1
    canvas.paint("hair", np.maximum(crown, above), person.hair, lit, near + 0.1)
