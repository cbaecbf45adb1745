"""OpenPose JSON for tests, typed from the format's description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Where = Mapping[int, tuple[float, float]]


def keypoints(points: Where, count: int) -> list[float]:
    """x, y, confidence of `count` points: 1 for those of `points`, zeros for the others."""
    numbers = [0.0] * (3 * count)
    for index, (x, y) in points.items():
        numbers[3 * index : 3 * index + 3] = [x, y, 1.0]
    return numbers


def person(joints: Where, count: int = 18) -> dict[str, Any]:
    """A person of a body alone."""
    return {"pose_keypoints_2d": keypoints(joints, count)}


def frame(*people: dict[str, Any], size: int = 512) -> dict[str, Any]:
    """These people on a square canvas."""
    return {"people": list(people), "canvas_width": size, "canvas_height": size}
