"""Bodies: the published tables, joint by joint and limb by limb, and the three ways to draw them.

GOLDEN_* are typed from the published convention on purpose, not taken from the module.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from controlstack.preprocessors.pose.draw import draw_pose
from tests.preprocessors.pose.frames import frame, person

GOLDEN_JOINT_COLOURS = [
    "ff0000", "ff5500", "ffaa00", "ffff00", "aaff00", "55ff00", "00ff00", "00ff55", "00ffaa",
    "00ffff", "00aaff", "0055ff", "0000ff", "5500ff", "aa00ff", "ff00ff", "ff00aa", "ff0055",
]  # fmt: skip
# Each limb by its two joints (from 0), with its colour at six tenths, in drawing order.
GOLDEN_LIMBS = {
    (1, 2): (153, 0, 0),
    (1, 5): (153, 51, 0),
    (2, 3): (153, 102, 0),
    (3, 4): (153, 153, 0),
    (5, 6): (102, 153, 0),
    (6, 7): (51, 153, 0),
    (1, 8): (0, 153, 0),
    (8, 9): (0, 153, 51),
    (9, 10): (0, 153, 102),
    (1, 11): (0, 153, 153),
    (11, 12): (0, 102, 153),
    (12, 13): (0, 51, 153),
    (1, 0): (0, 0, 153),
    (0, 14): (51, 0, 153),
    (14, 16): (102, 0, 153),
    (0, 15): (153, 0, 153),
    (15, 17): (153, 0, 102),
}
CROWDED = {1: (100, 100), 2: (200, 100), 5: (150, 100)}
"""The limb from the neck (1) to one shoulder (2) runs over the other shoulder (5)."""


@pytest.mark.parametrize("index", range(18))
def test_each_joint_alone_is_a_disc_of_its_colour(index: int) -> None:
    for style in ("v1.1", "v1.0"):
        picture = draw_pose(frame(person({index: (100, 200)})), 512, 512, style=style)
        colour = bytes.fromhex(GOLDEN_JOINT_COLOURS[index])
        assert bytes(picture[200, 100]) == colour
        rows, columns = np.nonzero(picture.any(axis=2))
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (196, 204, 96, 104)
        assert {bytes(p) for p in picture[rows, columns]} == {colour}


@pytest.mark.parametrize("style", ["v1.1", "v1.0"])
def test_each_pair_of_joints_is_joined_by_the_limb_of_the_table_or_by_none(style: str) -> None:
    for a in range(18):
        for b in range(a + 1, 18):
            two = frame(person({a: (50, 128), b: (200, 128)}), size=256)
            picture = draw_pose(two, 256, 256, style=style)
            expected = GOLDEN_LIMBS.get((a, b)) or GOLDEN_LIMBS.get((b, a)) or (0, 0, 0)
            assert tuple(picture[128, 125]) == expected, (a, b)


def test_limbs_are_eight_pixels_wide_at_512_and_keep_their_proportion() -> None:
    for side, half in ((512, 4), (1024, 8), (256, 2), (128, 1), (64, 1)):
        column = draw_pose(frame(person({1: (0.2, 0.5), 2: (0.8, 0.5)})), side, side)[:, side // 2]
        assert column.any(axis=1).sum() == 2 * half + 1, side


def test_the_smaller_side_sets_the_thickness() -> None:
    rows = draw_pose(frame(person({0: (0.5, 0.5)})), 1024, 512).any(axis=(1, 2))
    assert rows.sum() == 9


def test_in_v1_1_joints_lie_over_limbs() -> None:
    picture = draw_pose(frame(person(CROWDED)), 512, 512)
    assert bytes(picture[100, 150]).hex() == GOLDEN_JOINT_COLOURS[5]
    assert bytes(picture[100, 100]).hex() == GOLDEN_JOINT_COLOURS[1]


def test_in_v1_0_limbs_are_blended_over_joints() -> None:
    picture = draw_pose(frame(person(CROWDED)), 512, 512, style="v1.0")
    # Joint 5, (85, 255, 0), under the red limb alone: 0.4 of the one, 0.6 of the other.
    assert tuple(picture[100, 153]) == (187, 102, 0)
    # The same joint under both limbs: 0.4 (187, 102, 0) + 0.6 (255, 85, 0), rounded.
    assert tuple(picture[100, 148]) == (228, 92, 0)


def test_v1_0_draws_everyone_s_joints_then_everyone_s_limbs_in_turn() -> None:
    first, second = _scattered(0), _scattered(1)
    # The third one's joints lie on other joints of the first, where the order shows.
    people = [first, second, {17 - i: (x + 3, y + 2) for i, (x, y) in first.items()}]
    for width, height in ((512, 512), (700, 512)):
        ours = draw_pose(
            {"people": [person(joints) for joints in people]}, width, height, style="v1.0"
        )
        assert np.array_equal(ours, _as_the_first_annotator(people, width, height))


@pytest.mark.parametrize(
    ("longer", "radius"),
    [(64, 4), (499, 4), (500, 8), (999, 8), (1000, 12), (1999, 12), (2000, 16), (3000, 20),
     (4000, 24), (5000, 28), (9000, 28)],
)  # fmt: skip
def test_scaled_sticks_are_as_thick_as_xinsir_s(longer: int, radius: int) -> None:
    """4 px times 1, 2, ... 7, by the longer side, for joints too: the model card of
    xinsir/controlnet-openpose-sdxl-1.0."""
    two = {"people": [person({1: (0.2, 0.5), 2: (0.8, 0.5)})]}
    picture = draw_pose(two, longer, 64, scale_sticks=True)
    assert picture[:, longer // 2].any(axis=1).sum() == 2 * radius + 1
    assert picture[:, longer // 5].any(axis=1).sum() == 2 * radius + 1
    upright = {"people": [person({1: (0.5, 0.2), 2: (0.5, 0.8)})]}
    assert (draw_pose(upright, 64, longer, scale_sticks=True)[longer // 2] > 0).any(
        axis=1
    ).sum() == 2 * radius + 1


def test_a_joint_with_confidence_zero_takes_its_limbs_with_it() -> None:
    someone = person({1: (100, 256), 2: (400, 256)})
    someone["pose_keypoints_2d"][2 * 3 + 2] = 0
    for style in ("v1.1", "v1.0"):
        picture = draw_pose(frame(someone), 512, 512, style=style)
        assert not picture[256, 250].any()
        assert not picture[256, 400].any()
        assert picture[256, 100].any()


def _scattered(seed: int) -> dict[int, tuple[float, float]]:
    """Most joints of somebody, in whole pixels of 512 and a little outside of it."""
    draw = np.random.default_rng(seed)
    places = draw.integers(-30, 540, (18, 2))
    return {i: (float(x), float(y)) for i, (x, y) in enumerate(places) if draw.random() < 0.8}


def _as_the_first_annotator(
    people: list[dict[int, tuple[float, float]]], width: int, height: int
) -> npt.NDArray[Any]:
    """The rule of ControlNet 1.0 in OpenCV: joints on black, then each limb at 0.4 / 0.6."""
    canvas = np.zeros((height, width, 3), np.uint8)
    colours = [tuple(bytes.fromhex(colour)) for colour in GOLDEN_JOINT_COLOURS]
    for index, colour in enumerate(colours):
        for joints in people:
            if index in joints:
                x, y = joints[index]
                cv2.circle(canvas, (int(x), int(y)), 4, colour, -1)
    for (a, b), colour in zip(GOLDEN_LIMBS, colours, strict=False):
        for joints in people:
            if a in joints and b in joints:
                (ax, ay), (bx, by) = joints[a], joints[b]
                half = int(math.hypot(ax - bx, ay - by) / 2)
                angle = int(math.degrees(math.atan2(ay - by, ax - bx)))
                centre = (int((ax + bx) / 2), int((ay + by) / 2))
                limb = canvas.copy()
                cv2.fillConvexPoly(
                    limb, cv2.ellipse2Poly(centre, (half, 4), angle, 0, 360, 1), colour
                )
                canvas = cv2.addWeighted(canvas, 0.4, limb, 0.6, 0)
    return canvas
