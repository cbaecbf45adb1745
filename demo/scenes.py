"""What a demo scene is, and how one is drawn from a seed: solids and at most one person on a pale
ground.

Pixel coordinates are those of a 128 x 128 picture, x to the right and y down, origin at the corner
of the first pixel. A seed means the same scene for ever: the held-out seeds below were never
trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

SIZE = 128
"""Side of every scene in pixels."""

TRAIN_SEED_BASE = 0
"""Training scenes use the seeds from here up to (not including) `HELD_OUT_SEEDS[0]`."""

HELD_OUT_SEEDS = tuple(range(1_000_000, 1_000_064))
"""The 64 scenes on which every figure in `docs/demo-model.md` is measured."""

SHEET_SEEDS = (2_000_001, 2_000_005, 2_000_006, 2_000_007, 2_000_008)
"""Scenes of the contact sheet: the first five from 2,000,000 on that, asked for a person, have one
beside one solid.
"""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (226, 42, 42),
    "orange": (242, 134, 28),
    "yellow": (243, 212, 40),
    "green": (52, 172, 64),
    "teal": (32, 184, 188),
    "blue": (44, 88, 222),
    "purple": (134, 58, 206),
    "pink": (244, 92, 176),
}
"""The eight named colours, RGB 0..255: hues at least 22 degrees apart, saturation at least 0.6."""

KINDS = ("ball", "box", "cone", "cylinder")
SKINS = ((236, 172, 116), (206, 138, 84), (162, 102, 60), (122, 74, 42))
HAIRS = ((74, 42, 20), (120, 66, 26), (206, 142, 40), (164, 70, 28))
ARMS = ("down", "cheer", "wave", "reach", "hips", "point")
LEGS = ("stand", "wide", "walk", "kick")

JOINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""OpenPose's 18 body joints in their order; people face us, so a right joint is on the picture's
left.
"""


@dataclass(frozen=True)
class Solid:
    """One solid: `x` is its middle, `base` the row it stands on, `width` and `height` its extent in
    pixels.
    """

    kind: str
    colour: str
    x: float
    base: float
    width: float
    height: float


@dataclass(frozen=True)
class Person:
    """One person, facing us. `joints` are the 18 OpenPose joints (x, y); `height` is that of the
    upright body.
    """

    shirt: str
    trousers: str
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    arms: str
    legs: str
    height: float
    base: float
    joints: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn. `horizon` is a row; `sky` and `ground` are pale RGB colours,
    0..255.
    """

    solids: tuple[Solid, ...]
    person: Person | None
    horizon: float
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]


def sample_scene(seed: int, person: bool | None = None) -> Scene:
    """The scene of `seed`; `person` asks for a scene with or without one (default: 45 % with)."""
    rng = np.random.default_rng(seed)
    horizon = float(rng.uniform(46, 62))
    tint = float(rng.uniform(0, 1))
    sky = (206 + 14 * tint, 222.0, 238 - 10 * tint)
    ground = (234.0, 228 - 6 * tint, 218 - 4 * tint)
    with_person = bool(rng.random() < 0.45) if person is None else person
    if not with_person:
        count = int(rng.choice(3, p=(0.5, 0.33, 0.17))) + 1
        return Scene(_solids_only(rng, count, horizon), None, horizon, sky, ground)
    someone = _sample_person(rng, horizon)
    beside = _beside(rng, someone) if rng.random() < 0.6 else ()
    return Scene(beside, someone, horizon, sky, ground)


def _pick(rng: np.random.Generator, names: tuple[str, ...], count: int) -> list[str]:
    return [names[int(i)] for i in rng.permutation(len(names))[:count]]


def _proportions(rng: np.random.Generator, kind: str, width: float) -> tuple[float, float]:
    ratio = {"ball": 1.0, "box": rng.uniform(0.75, 1.2), "cone": rng.uniform(1.05, 1.5),
             "cylinder": rng.uniform(0.95, 1.5)}[kind]  # fmt: skip
    return width, width * float(ratio)


def _solids_only(rng: np.random.Generator, count: int, horizon: float) -> tuple[Solid, ...]:
    low, high = {1: (34, 66), 2: (30, 50), 3: (26, 38)}[count]
    kinds = _pick(rng, KINDS, count)
    colours = _pick(rng, tuple(COLOURS), count)
    edges = np.linspace(4, SIZE - 4, count + 1)
    solids = []
    for slot, (kind, colour) in enumerate(zip(kinds, colours, strict=True)):
        width, height = _proportions(rng, kind, float(rng.uniform(low, high)))
        left, right = edges[slot] - 4 + width / 2, edges[slot + 1] + 4 - width / 2
        x = float(rng.uniform(left, right)) if right > left else float((left + right) / 2)
        x = min(max(x, width / 2 + 3), SIZE - 3 - width / 2)
        base = float(rng.uniform(max(horizon + 14, height + 4), SIZE - 5))
        solids.append(Solid(kind, colour, x, base, width, height))
    return tuple(solids)


def _beside(rng: np.random.Generator, person: Person) -> tuple[Solid, ...]:
    count = 2 if rng.random() < 0.25 else 1
    kinds, colours = _pick(rng, KINDS, count), _pick(rng, tuple(COLOURS), count)
    hips = (person.joints[8][0] + person.joints[11][0]) / 2
    gap = 0.15 * person.height
    rooms = sorted(((hips - gap - 3, -1), (SIZE - 3 - hips - gap, 1)), reverse=True)
    solids = []
    for (room, side), kind, colour in zip(rooms, kinds, colours, strict=False):
        if room < 22:
            continue
        width, height = _proportions(rng, kind, float(rng.uniform(22, min(44, room))))
        x = hips + side * float(rng.uniform(gap + width / 2, gap + room - width / 2))
        lowest = max(person.base - 14, height + 4)
        base = float(rng.uniform(lowest, max(lowest, min(SIZE - 4, person.base + 14))))
        solids.append(Solid(kind, colour, x, base, width, height))
    return tuple(solids)


def _sample_person(rng: np.random.Generator, horizon: float) -> Person:
    height = float(rng.uniform(62, 108))
    arms = ARMS[int(rng.integers(len(ARMS)))]
    legs = LEGS[int(rng.choice(4, p=(0.3, 0.2, 0.3, 0.2)))]
    body = _body(rng, arms, legs) * height
    low, high = body.min(axis=0), body.max(axis=0)
    margin = 0.1 * height + 2
    x = rng.uniform(margin - low[0], max(margin - low[0], SIZE - margin - high[0]))
    top = max(margin - low[1], horizon + 8 - high[1])
    y = rng.uniform(top, max(top, SIZE - 0.06 * height - 2 - high[1]))
    joints = tuple((float(px + x), float(py + y)) for px, py in body)
    shirt, trousers = _pick(rng, tuple(COLOURS), 2)
    return Person(
        shirt, trousers, SKINS[int(rng.integers(len(SKINS)))], HAIRS[int(rng.integers(len(HAIRS)))],
        arms, legs, height, float(high[1] + y + 0.04 * height), joints,
    )  # fmt: skip


def _body(rng: np.random.Generator, arms: str, legs: str) -> np.ndarray:
    """Joints (18, 2) of a body of height 1, the hips' middle at the origin; angles are from
    straight down, outwards.
    """
    lean = rng.uniform(-0.12, 0.12)
    up = np.array([math.sin(lean), -math.cos(lean)])
    across = np.array([-up[1], up[0]])
    hips, neck = np.zeros(2), up * 0.31
    nose = neck + up * 0.115
    joints = np.zeros((18, 2))
    joints[0], joints[1] = nose, neck
    joints[14], joints[15] = nose - across * 0.03 + up * 0.03, nose + across * 0.03 + up * 0.03
    joints[16], joints[17] = nose - across * 0.075 + up * 0.015, nose + across * 0.075 + up * 0.015
    active = int(rng.integers(2))
    for index, side in enumerate((-1, 1)):
        upper, lower = _arm_angles(rng, arms, index == active)
        shoulder = neck + across * side * 0.12 + up * -0.015
        joints[2 + 3 * index : 5 + 3 * index] = _chain(
            shoulder, side, (upper, lower), (0.165, 0.15)
        )
    stepping = int(rng.integers(2))
    for index, side in enumerate((-1, 1)):
        upper, lower = _leg_angles(rng, legs, index == stepping)
        hip = hips + across * side * 0.068
        joints[8 + 3 * index : 11 + 3 * index] = _chain(hip, side, (upper, lower), (0.215, 0.215))
    return joints


def _chain(
    start: np.ndarray, side: int, angles: tuple[float, float], lengths: tuple[float, float]
) -> np.ndarray:
    points = [start]
    for angle, length in zip(angles, lengths, strict=True):
        points.append(points[-1] + length * np.array([side * math.sin(angle), math.cos(angle)]))
    return np.stack(points)


def _arm_angles(rng: np.random.Generator, arms: str, active: bool) -> tuple[float, float]:
    if arms == "cheer":
        return float(rng.uniform(2.1, 2.8)), float(rng.uniform(2.4, 3.1))
    if arms == "wave" and active:
        return float(rng.uniform(1.4, 2.2)), float(rng.uniform(2.4, 3.2))
    if arms == "reach" or (arms == "point" and active):
        upper = float(rng.uniform(1.25, 1.85))
        return upper, upper + float(rng.uniform(-0.15, 0.15))
    if arms == "hips":
        return float(rng.uniform(0.65, 0.95)), float(rng.uniform(-0.9, -0.55))
    upper = float(rng.uniform(0.15, 0.5))
    return upper, upper + float(rng.uniform(-0.25, 0.1))


def _leg_angles(rng: np.random.Generator, legs: str, active: bool) -> tuple[float, float]:
    if legs == "wide":
        upper = float(rng.uniform(0.28, 0.5))
        return upper, upper + float(rng.uniform(-0.1, 0.1))
    if legs == "walk":
        upper = float(rng.uniform(0.35, 0.7)) if active else float(rng.uniform(0.05, 0.2))
        return upper, upper - float(rng.uniform(0.0, 0.45)) if active else upper
    if legs == "kick" and active:
        upper = float(rng.uniform(0.85, 1.25))
        return upper, upper + float(rng.uniform(-0.3, 0.1))
    upper = float(rng.uniform(0.03, 0.12))
    return upper, upper


def pose_json(person: Person) -> dict[str, object]:
    """The person as OpenPose JSON, in pixels of the scene."""
    return joints_json(person.joints)


def joints_json(joints: Iterable[Sequence[float]]) -> dict[str, object]:
    """18 joints (x, y) as OpenPose JSON: one `people` entry of x, y, confidence triples, in pixels
    of the canvas.
    """
    flat = [number for x, y in joints for number in (round(x, 2), round(y, 2), 1.0)]
    return {"canvas_width": SIZE, "canvas_height": SIZE, "people": [{"pose_keypoints_2d": flat}]}
