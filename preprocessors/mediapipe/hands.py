"""Hands by MediaPipe: from the pose's wrists to the 21 points of OpenPose's hands.

Both have the wrist and then each finger from its root to its tip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..learned.tensors import finite
from .bodies import BLAZEPOSE, Body
from .squares import Points, Scene, Square, batch, between, turn, twice

if TYPE_CHECKING:
    import torch

VISIBLE = 0.1
"""From which confidence a wrist's hand is looked for:
mediapipe/modules/holistic_landmark/hand_visibility_from_hand_landmarks_from_pose.pbtxt."""

PRESENT = 0.5
"""From which presence there is a hand: mediapipe/modules/hand_landmark/hand_landmark_cpu.pbtxt."""

AROUND, TOWARDS = 2.7, -0.1
"""scale_x and shift_y of
mediapipe/modules/holistic_landmark/hand_landmarks_from_pose_to_recrop_roi.pbtxt; the shift of
hand_recrop_by_roi_cpu.pbtxt and hand_landmarks_to_roi.pbtxt is the same."""

AGAIN = 2.0
"""scale_x of mediapipe/modules/holistic_landmark/hand_landmarks_to_roi.pbtxt."""

PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""The points that this file takes for the palm."""

NUMBERS = 3
"""Of each of the network's points: x, y and z."""

SAME = 0.2
"""Points of two people's hands that lie within this part of a hand's longer side of each other, on
average, are of one hand. A rule of this file's own, since MediaPipe Holistic takes one person: in
the photos of `benchmarks/pose_photos.py` one hand found twice is 0.01 apart, two hands over 1."""


@dataclass(frozen=True)
class Hand:
    """A hand's 21 `points` in pixels (21 x 2), and how sure it is that this is a hand, in 0..1."""

    points: Points
    score: float


@dataclass(frozen=True)
class Finders:
    """The networks of hands: the one that tells where a hand is, and the one of its points."""

    place: Any
    points: Any


def find_hands(
    scene: Scene, bodies: Sequence[Body], finders: Finders, device: torch.device
) -> list[dict[str, Hand]]:
    """The hands of each of `bodies` that are there, as "left" and "right"."""
    found: list[dict[str, Hand]] = [{} for _ in bodies]
    asked = [
        (number, whose, square)
        for number, body in enumerate(bodies)
        for whose in ("left", "right")
        if (square := _of_body(body, whose)) is not None
    ]
    squares = _places(scene, [square for _, _, square in asked], finders.place, device)
    for (number, whose, _), hand in zip(
        asked, _look_twice(scene, squares, finders.points, device), strict=True
    ):
        if hand is not None:
            found[number][whose] = hand
    return owned(found, bodies)


def owned(found: Sequence[Mapping[str, Hand]], bodies: Sequence[Body]) -> list[dict[str, Hand]]:
    """What was `found` at each of `bodies`, each hand at one person: the one whose wrist is the
    nearest to where it begins."""
    nearest_first = sorted(
        (_from_wrist(hand, bodies[number], whose), number, whose)
        for number, hands in enumerate(found)
        for whose, hand in hands.items()
    )
    kept: list[dict[str, Hand]] = [{} for _ in found]
    for _, number, whose in nearest_first:
        hand = found[number][whose]
        others = (hands for owner, hands in enumerate(kept) if owner != number)
        if not any(_same(hand, other) for hands in others for other in hands.values()):
            kept[number][whose] = hand
    return kept


def _from_wrist(hand: Hand, body: Body, whose: str) -> float:
    """How far a hand begins from the wrist that it was looked for at, in pixels."""
    wrist = body.points[BLAZEPOSE.index(f"{whose} wrist")]
    return float(np.linalg.norm(hand.points[0] - wrist))


def _same(one: Hand, other: Hand) -> bool:
    side = max(float(np.ptp(hand.points, axis=0).max()) for hand in (one, other))
    return float(np.linalg.norm(one.points - other.points, axis=1).mean()) < SAME * side


def _of_body(body: Body, whose: str) -> Square | None:
    """Where a hand is, by the wrist and the roots of two fingers:
    mediapipe/modules/holistic_landmark/calculators/hand_detections_from_pose_to_rects_calculator.cc
    """
    wrist, little, index = (
        BLAZEPOSE.index(f"{whose} {name}") for name in ("wrist", "pinky", "index")
    )
    if body.sure[wrist] < VISIBLE:
        return None
    middle = (2 * body.points[index] + body.points[little]) / 3
    side = 2 * float(np.linalg.norm(middle - body.points[wrist]))
    if side < 1:  # nothing can be seen of it
        return None
    angle = turn(body.points[wrist], middle, target=90)
    return Square(float(middle[0]), float(middle[1]), side, angle).moved(TOWARDS, AROUND)


def _places(
    scene: Scene, squares: Sequence[Square], network: Any, device: torch.device
) -> list[Square]:
    """Each square, refined: mediapipe/modules/holistic_landmark/hand_recrop_by_roi_cpu.pbtxt."""
    if not squares:
        return []
    said = network(batch([scene.seen(one, network.side) for one in squares], device))
    numbers = finite(said["points"], "MediaPipe").cpu().double().numpy()
    found = []
    for square, each in zip(squares, numbers, strict=True):
        middle, edge = square.outside(each.reshape(2, 2) / network.side)
        found.append(between(middle, edge, target=-90).moved(TOWARDS, 1))
    return found


def _look_twice(
    scene: Scene, squares: Sequence[Square], network: Any, device: torch.device
) -> list[Hand | None]:
    """The hand in each square."""
    return twice(lambda at: _look(scene, at, network, device), squares, _again)


def _look(
    scene: Scene, squares: Sequence[Square], network: Any, device: torch.device
) -> list[Hand | None]:
    if not squares:
        return []
    said = network(batch([scene.seen(one, network.side) for one in squares], device))
    numbers, presence = (
        finite(said[name], "MediaPipe").cpu().double().numpy()[:, 0]
        for name in ("points", "presence")
    )
    return [
        Hand(square.outside(each.reshape(-1, NUMBERS)[:, :2] / network.side), float(score))
        if score >= PRESENT
        else None
        for square, each, (score,) in zip(squares, numbers, presence, strict=True)
    ]


def _again(hand: Hand) -> Square:
    """The square of a hand, its fingers up:
    mediapipe/modules/hand_landmark/calculators/hand_landmarks_to_rect_calculator.cc"""
    points = hand.points
    index, middle, ring = points[5], points[9], points[13]
    angle = turn(points[0], ((index + ring) / 2 + middle) / 2, target=90)
    upright = Square(0, 0, 1, angle)
    within = points[list(PALM)] @ upright.axes.T
    low, high = within.min(axis=0), within.max(axis=0)
    x, y = (low + high) / 2 @ upright.axes
    side = max(float((high - low).max()), 1.0)
    return Square(float(x), float(y), side, angle).moved(TOWARDS, AGAIN)
