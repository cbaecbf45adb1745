"""People: known skeletons, known shifts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlstack.evaluation.people import oks, paired, pose_agreement
from controlstack.ground.errors import UserError
from controlstack.preprocessors.pose.people import JOINTS, Joint, Person, Pose

CANVAS = (512.0, 512.0)


def _person(x: float, y: float, wide: float = 100, high: float = 200) -> Person:
    """Joints spread over a box whose upper left corner is at (x, y)."""
    places = np.random.default_rng(0).permutation(len(JOINTS)) / (len(JOINTS) - 1)
    down = np.linspace(0, 1, len(JOINTS))
    return Person(
        tuple(Joint(x + wide * p, y + high * d) for p, d in zip(places, down, strict=True))
    )


def _moved(person: Person, by: Callable[[str], tuple[float, float]]) -> Person:
    moves = [by(name) for name in JOINTS]
    return Person(
        tuple(
            Joint(joint.x + dx, joint.y + dy) if joint else None
            for joint, (dx, dy) in zip(person.body, moves, strict=True)
        )
    )


def _without(person: Person, *names: str) -> Person:
    return Person(
        tuple(
            None if name in names else joint
            for name, joint in zip(JOINTS, person.body, strict=True)
        )
    )


def _pose(*people: Person) -> Pose:
    return Pose(people, CANVAS)


def _points(person: Person) -> np.ndarray:
    return np.array([(j.x, j.y) if j else (np.nan, np.nan) for j in person.body], np.float32)


def test_oks_by_cocos_formula() -> None:
    person = _person(50, 60)
    shifted = _moved(person, lambda name: (3.0, 4.0))
    area = 0.53 * 100 * 200
    sigmas = {
        **{"nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072},
        **{"wrist": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089},
    }
    each = [
        math.exp(-25 / (2 * area * (2 * sigmas[name.split()[-1]]) ** 2))
        for name in JOINTS
        if name != "neck"
    ]
    assert len(each) == 17
    assert oks(_points(shifted), _points(person)) == pytest.approx(sum(each) / 17, rel=1e-4)


def test_the_neck_has_no_part_in_oks() -> None:
    person = _person(0, 0)
    craned = _moved(person, lambda name: (90.0, 0.0) if name == "neck" else (0.0, 0.0))
    assert oks(_points(craned), _points(person)) == 1
    assert pose_agreement(_pose(craned), _pose(person)).pck == pytest.approx(17 / 18)


def test_a_joint_not_found_is_a_miss_and_one_not_wanted_is_free() -> None:
    person = _person(10, 10)
    armless = _without(person, "left wrist", "left elbow")
    missing = pose_agreement(_pose(armless), _pose(person))
    assert missing.pck == pytest.approx(16 / 18)
    assert missing.oks == pytest.approx(15 / 17)
    assert pose_agreement(_pose(person), _pose(armless)) == (1, 1, 0)


def test_pck_reaches_a_tenth_of_the_body() -> None:
    person = _person(0, 0, high=200)
    near, far = (_moved(person, lambda _, d=d: (d, 0.0)) for d in (19.9, 20.1))
    assert pose_agreement(_pose(near), _pose(person)).pck == 1
    assert pose_agreement(_pose(far), _pose(person)).pck == 0


def test_each_person_is_compared_with_the_one_who_stands_there() -> None:
    first, second = _person(0, 0), _person(150, 0)
    swapped = pose_agreement(_pose(second, first), _pose(first, second))
    assert swapped == (1, 1, 0)


def test_no_partner_serves_two() -> None:
    first, second = _person(0, 0), _person(0, 0)
    one = pose_agreement(_pose(first), _pose(first, second))
    assert one == (0.5, 0.5, 0)
    assert pose_agreement(_pose(), _pose(first)) == (0, 0, 0)


def test_people_whom_nobody_asked_for() -> None:
    first, second = _person(0, 0), _person(300, 200)
    assert pose_agreement(_pose(first, second), _pose(first)) == (1, 1, 1)
    alone = pose_agreement(_pose(first), _pose())
    assert math.isnan(alone.pck)
    assert math.isnan(alone.oks)
    assert alone.extra == 1
    assert pose_agreement(_pose(Person()), _pose(first)).extra == 0  # no joint, no person


def test_the_partners_are_those_of_the_largest_sum() -> None:
    # The nearest one first would take the left person for the middle one, and leave the right one
    # with a stranger.
    wanted = _pose(_person(100, 0), _person(112, 0))
    found = _pose(_person(108, 0), _person(124, 0))
    matched = pose_agreement(found, wanted)
    pairs = [(108, 100), (124, 112)]
    by_hand = np.mean([oks(_points(_person(f, 0)), _points(_person(w, 0))) for f, w in pairs])
    assert matched.oks == pytest.approx(float(by_hand))


@given(seed=st.integers(0, 999), count=st.integers(1, 4))
def test_the_order_of_people_does_not_matter(seed: int, count: int) -> None:
    dice = random.Random(seed)
    people = [_person(dice.uniform(0, 400), dice.uniform(0, 300)) for _ in range(count)]
    found = [_moved(p, lambda _: (dice.gauss(0, 9), dice.gauss(0, 9))) for p in people]
    plain = pose_agreement(_pose(*found), _pose(*people))
    dice.shuffle(found)
    dice.shuffle(people)
    assert pose_agreement(_pose(*found), _pose(*people)) == pytest.approx(plain)


@given(seed=st.integers(0, 999), scale=st.floats(0.5, 4))
def test_a_larger_picture_changes_nothing(seed: int, scale: float) -> None:
    dice = random.Random(seed)
    person = _person(20, 20)
    found = _moved(person, lambda _: (dice.gauss(0, 5), dice.gauss(0, 5)))
    larger = [
        Pose((Person(tuple(Joint(j.x * scale, j.y * scale) for j in p.body if j)),), None)
        for p in (found, person)
    ]
    plain = pose_agreement(_pose(found), _pose(person))
    assert pose_agreement(*larger).oks == pytest.approx(plain.oks, rel=1e-3)


def test_fractions_and_pixels_of_one_canvas() -> None:
    person = _person(50, 60)
    fractions = Person(tuple(Joint(j.x / 512, j.y / 512) for j in person.body if j))
    assert pose_agreement(Pose((fractions,), CANVAS, True), _pose(person)) == pytest.approx(
        (1, 1, 0)
    )
    assert pose_agreement(Pose((fractions,), None, True), _pose(person)).pck == 1
    with pytest.raises(UserError, match="canvas_width"):
        pose_agreement(Pose((fractions,), None, True), Pose((person,), None))


def test_canvases_must_agree() -> None:
    with pytest.raises(UserError, match="512 x 512 and 256 x 128"):
        pose_agreement(_pose(_person(0, 0)), Pose((_person(0, 0),), (256, 128)))


def test_pairs_are_in_the_order_of_those_wanted() -> None:
    one, other, third = (_person(x, 0) for x in (0, 150, 300))
    pairs = paired(_pose(other, one), _pose(one, third, other))
    np.testing.assert_array_equal(
        [body for _, body in pairs], list(map(_points, (one, third, other)))
    )
    np.testing.assert_array_equal(pairs[0][0], _points(one))
    assert np.isnan(pairs[1][0]).all()
    np.testing.assert_array_equal(pairs[2][0], _points(other))
    assert paired(_pose(one), _pose()) == ()
