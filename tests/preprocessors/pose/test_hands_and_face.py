"""Hands and faces: the published table, line by line, typed here on purpose."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from controlstack.preprocessors.pose.draw import draw_pose
from tests.preprocessors.pose.frames import Where, frame, keypoints

# Each line of a hand by its two points, with the colour of its hue: a twentieth of a turn further
# for each line, in drawing order. Halves may be rounded either way.
GOLDEN_BONES = {
    (0, 1): (255, 0, 0),
    (1, 2): (255, 76.5, 0),
    (2, 3): (255, 153, 0),
    (3, 4): (255, 229.5, 0),
    (0, 5): (204, 255, 0),
    (5, 6): (127.5, 255, 0),
    (6, 7): (51, 255, 0),
    (7, 8): (0, 255, 25.5),
    (0, 9): (0, 255, 102),
    (9, 10): (0, 255, 178.5),
    (10, 11): (0, 255, 255),
    (11, 12): (0, 178.5, 255),
    (0, 13): (0, 102, 255),
    (13, 14): (0, 25.5, 255),
    (14, 15): (51, 0, 255),
    (15, 16): (127.5, 0, 255),
    (0, 17): (204, 0, 255),
    (17, 18): (255, 0, 229.5),
    (18, 19): (255, 0, 153),
    (19, 20): (255, 0, 76.5),
}
BLUE, WHITE = (0, 0, 255), (255, 255, 255)


def _hand(points: Where, side: str = "left") -> dict[str, Any]:
    return {f"hand_{side}_keypoints_2d": keypoints(points, 21)}


def _face(points: Where, count: int = 70) -> dict[str, Any]:
    return {"face_keypoints_2d": keypoints(points, count)}


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_pair_of_a_hand_s_points_is_joined_by_the_line_of_the_table_or_by_none(
    side: str,
) -> None:
    for a in range(21):
        for b in range(a + 1, 21):
            two = frame(_hand({a: (50, 128), b: (200, 128)}, side), size=256)
            pixel = draw_pose(two, 256, 256)[128, 125].astype(float)
            assert np.abs(pixel - GOLDEN_BONES.get((a, b), (0, 0, 0))).max() <= 0.5, (a, b)


@pytest.mark.parametrize("index", range(21))
def test_each_point_of_a_hand_is_a_blue_disc(index: int) -> None:
    picture = draw_pose(frame(_hand({index: (100, 200)})), 512, 512)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (196, 204, 96, 104)
    assert {tuple(pixel) for pixel in picture[rows, columns]} == {BLUE}


def test_a_hand_s_points_lie_over_its_lines() -> None:
    picture = draw_pose(frame(_hand({0: (100, 100), 1: (200, 100), 5: (150, 100)})), 512, 512)
    assert {tuple(picture[100, x]) for x in (100, 150, 200)} == {BLUE}


@pytest.mark.parametrize("index", [0, 36, 67, 68, 69])
def test_each_point_of_a_face_is_a_white_disc_and_nothing_joins_them(index: int) -> None:
    picture = draw_pose(frame(_face({index: (100, 200), 5: (300, 200)})), 512, 512)
    rows, columns = np.nonzero(picture[:, :250].any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (197, 203, 97, 103)
    assert {tuple(pixel) for pixel in picture[rows, columns]} == {WHITE}


@pytest.mark.parametrize(
    ("side", "line", "joint", "dot"),
    [(1024, 4, 8, 6), (768, 3, 6, 5), (512, 2, 4, 3), (256, 1, 2, 2), (128, 1, 1, 1)],
)
def test_sizes_keep_their_proportion(side: int, line: int, joint: int, dot: int) -> None:
    x, y, end = side // 4, side // 2, 3 * side // 4
    expected = np.zeros((side, side, 3), np.uint8)
    cv2.line(expected, (x, y), (end, y), (255, 0, 0), line)
    cv2.circle(expected, (x, y), joint, BLUE, -1)
    cv2.circle(expected, (end, y), joint, BLUE, -1)
    cv2.circle(expected, (x, end), dot, WHITE, -1)
    both = _hand({0: (x, y), 1: (end, y)}) | _face({30: (x, end)})
    assert np.array_equal(draw_pose(frame(both, size=side), side, side), expected)


def test_a_face_of_68_points_is_drawn_like_one_of_70_without_pupils() -> None:
    points = {i: (20.0 + 6 * i, 30.0 + 5 * i) for i in range(68)}
    shorter, longer = frame(_face(points, 68)), frame(_face(points, 70))
    assert np.array_equal(draw_pose(shorter, 512, 512), draw_pose(longer, 512, 512))


def test_points_that_older_annotators_write_at_minus_one_are_not_drawn() -> None:
    """They stand for points not found, and have full confidence."""
    missing = -1 / 512
    hand = _hand({0: (0.5, 0.5), 1: (missing, missing), 2: (0.25, 0.25)})
    face = _face({0: (missing, missing), 1: (missing, 0.5)})
    picture = draw_pose(frame(hand | face), 512, 512)
    expected = np.zeros((512, 512, 3), np.uint8)
    cv2.circle(expected, (256, 256), 4, BLUE, -1)
    cv2.circle(expected, (128, 128), 4, BLUE, -1)
    assert np.array_equal(picture, expected)
