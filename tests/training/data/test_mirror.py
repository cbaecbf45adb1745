"""A mirrored hint is the hint of the mirrored scene."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from controlstack.preprocessors.mediapipe.face_mesh import (
    LEFT_BROW,
    LEFT_EYE,
    OUTLINES,
    PUPILS,
    RIGHT_BROW,
    RIGHT_EYE,
)
from controlstack.preprocessors.normal import normal_from_depth
from controlstack.preprocessors.pose.body import COLOURS
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import FACE, HAND, JOINTS, Joint, Person, Points, Pose
from controlstack.training.data.mirror import (
    FACE_MIRROR,
    JOINT_MIRROR,
    mirrored_pose,
    swapped_faces,
    swapped_sides,
    turned_normals,
)

WIDTH, HEIGHT = 256, 320
Picture = NDArray[np.uint8]


def standing(with_hands: bool = False) -> Pose:
    """One person who is not symmetric: the right arm is up, the left one down."""
    at = {
        "nose": (120, 60), "neck": (122, 90),
        "right shoulder": (90, 92), "right elbow": (60, 70), "right wrist": (40, 30),
        "left shoulder": (155, 92), "left elbow": (180, 130), "left wrist": (200, 170),
        "right hip": (102, 180), "right knee": (100, 240), "right ankle": (90, 300),
        "left hip": (142, 182), "left knee": (160, 235), "left ankle": (170, 295),
        "right eye": (112, 50), "left eye": (128, 50), "right ear": (100, 55),
        "left ear": (140, 56),
    }  # fmt: skip
    body = tuple(Joint(*at[name]) for name in JOINTS)
    if not with_hands:
        return Pose((Person(body),), (WIDTH, HEIGHT))
    return Pose((Person(body, hand(208, 215, 1), hand(45, 200, -1)),), (WIDTH, HEIGHT))


def hand(x: float, y: float, way: int) -> Points:
    """A spread hand whose wrist is at (x, y)."""
    points: list[Joint] = [Joint(x, y)]
    for finger in range(5):
        angle = np.pi * (0.1 + 0.2 * finger)
        points += [
            Joint(x + round(way * 12 * k * np.cos(angle)), y + round(12 * k * np.sin(angle)))
            for k in (1, 2, 3, 4)
        ]
    assert len(points) == len(HAND)
    return tuple(points)


def test_joints_change_sides() -> None:
    pose = standing()
    mirrored = mirrored_pose(pose, WIDTH).people[0].body
    before = dict(zip(JOINTS, pose.people[0].body, strict=True))
    after = dict(zip(JOINTS, mirrored, strict=True))
    raised, lifted = before["right wrist"], after["left wrist"]
    assert raised is not None
    assert lifted == Joint(WIDTH - raised.x, raised.y)
    assert [JOINTS[i] for i in JOINT_MIRROR[:3]] == ["nose", "neck", "left shoulder"]


def test_twice_mirrored_is_as_before() -> None:
    face = tuple(Joint(i, 2 * i) for i in range(len(FACE)))
    person = Person(standing().people[0].body, hand(10, 20, 1), (None,) * len(HAND), face)
    pose = Pose((person,), (WIDTH, HEIGHT))
    once = mirrored_pose(pose, WIDTH)
    assert once.people[0].left_hand == (None,) * len(HAND)
    assert once.people[0].right_hand[0] == Joint(WIDTH - 10, 20)
    assert mirrored_pose(once, WIDTH) == pose


def test_faces_change_sides() -> None:
    # iBUG's numbers: chin, right and left end of the jaw, corners of eyes and mouth, pupils.
    for one, other in ((8, 8), (0, 16), (36, 45), (39, 42), (48, 54), (60, 64), (68, 69), (30, 30)):
        assert FACE_MIRROR[one] == other
        assert FACE_MIRROR[other] == one
    assert sorted(FACE_MIRROR) == list(range(len(FACE)))


@pytest.mark.parametrize("with_hands", [False, True])
def test_a_mirrored_skeleton_is_the_drawing_of_the_mirrored_person(with_hands: bool) -> None:
    pose = standing(with_hands)
    drawn = draw_pose(pose, WIDTH, HEIGHT)
    mirrored = swapped_sides(np.ascontiguousarray(drawn[:, ::-1]))
    wanted = draw_pose(mirrored_pose(pose, WIDTH - 1), WIDTH, HEIGHT)
    assert alike(mirrored, wanted) > 0.98
    assert alike(np.ascontiguousarray(drawn[:, ::-1]), wanted) < 0.5
    body = mirrored_pose(pose, WIDTH - 1).people[0].body
    for name, joint, colour in zip(JOINTS, body, COLOURS, strict=True):
        if not (with_hands and "wrist" in name):  # which hands cover
            assert joint is not None
            assert tuple(mirrored[int(joint.y), int(joint.x)]) == colour


def alike(one: Picture, other: Picture) -> float:
    """The part of what is drawn in `one` that has its colour in `other` within a pixel: drawings
    cut off what is not a whole pixel, so that a mirrored one lies a little to the side."""
    found = np.zeros(one.shape[:2], bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            found |= (np.roll(other, (down, right), (0, 1)) == one).all(axis=2)
    drawn = one.any(axis=2)
    return float(found[drawn].mean())


def test_hands_keep_their_colours() -> None:
    nobody = (None,) * len(JOINTS)
    drawn = draw_pose(Pose((Person(nobody, hand(100, 100, 1)),), (256, 256)), 256, 256)
    assert drawn.any()
    assert (swapped_sides(drawn) == drawn).all()


def test_noise_of_a_jpeg_is_kept_beside_the_new_colour() -> None:
    skeleton = np.zeros((8, 8, 3), np.uint8)
    skeleton[:4] = (250, 82, 2)  # a neck, which stays
    skeleton[4:] = (248, 168, 3)  # a right shoulder
    swapped = swapped_sides(skeleton)
    assert (swapped[:4] == skeleton[:4]).all()
    assert tuple(swapped[5, 5]) == (83, 248, 0)  # a left one's 85, 255, 0, as bright


@pytest.mark.parametrize(("axes", "channel"), [("v1.1", 0), ("v1.0", 2)])
def test_mirrored_normals_are_those_of_the_mirrored_depth(axes: str, channel: int) -> None:
    depth = np.random.default_rng(0).random((40, 48), np.float32)
    normals = normal_from_depth(depth, axes)
    wanted = normal_from_depth(np.ascontiguousarray(depth[:, ::-1]), axes).astype(int)
    found = turned_normals(np.ascontiguousarray(normals[:, ::-1]), channel).astype(int)
    assert np.abs(found - wanted).max() <= 1  # bytes are cut off, not rounded
    assert np.abs(normals[:, ::-1].astype(int) - wanted).max() > 50


def test_faces_of_mediapipe_change_sides() -> None:
    (left_eye, left_brow), (right_eye, right_brow) = [
        [colour for lines, colour in OUTLINES if lines in names]
        for names in (((LEFT_EYE,), LEFT_BROW), ((RIGHT_EYE,), RIGHT_BROW))
    ]
    here = [left_eye, left_brow, PUPILS[0], (10, 200, 10), (10, 180, 10), (0, 0, 0)]
    there = [right_eye, right_brow, PUPILS[1], (10, 200, 10), (10, 180, 10), (0, 0, 0)]
    assert swapped_faces(np.array([here], np.uint8)).tolist() == [list(map(list, there))]


def test_black_is_no_normal() -> None:
    assert not turned_normals(np.zeros((2, 2, 3), np.uint8), 0).any()
