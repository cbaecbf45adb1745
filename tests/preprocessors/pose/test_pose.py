"""The skeleton: the published table, checked joint by joint and limb by limb, and its JSON.

GOLDEN_* are typed from the published convention on purpose, not taken from the module.
"""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.errors import UserError
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import Joint, Person, Pose, parse_poses

GOLDEN_JOINT_COLOURS = [
    "ff0000", "ff5500", "ffaa00", "ffff00", "aaff00", "55ff00", "00ff00", "00ff55", "00ffaa",
    "00ffff", "00aaff", "0055ff", "0000ff", "5500ff", "aa00ff", "ff00ff", "ff00aa", "ff0055",
]  # fmt: skip
# Each limb by its two joints (from 0), with its colour at six tenths.
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


def _person(joints: dict[int, tuple[float, float]], count: int = 18) -> dict[str, Any]:
    numbers = [0.0] * (3 * count)
    for index, (x, y) in joints.items():
        numbers[3 * index : 3 * index + 3] = [x, y, 1.0]
    return {"pose_keypoints_2d": numbers}


def _frame(*people: dict[str, Any], size: int = 512) -> dict[str, Any]:
    return {"people": list(people), "canvas_width": size, "canvas_height": size}


@pytest.mark.parametrize("index", range(18))
def test_each_joint_alone_is_a_disc_of_its_colour(index: int) -> None:
    picture = draw_pose(_frame(_person({index: (100, 200)})), 512, 512)
    colour = bytes.fromhex(GOLDEN_JOINT_COLOURS[index])
    assert bytes(picture[200, 100]) == colour
    rows, columns = np.nonzero(picture.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (196, 204, 96, 104)
    assert {bytes(p) for p in picture[rows, columns]} == {colour}


def test_each_pair_of_joints_is_joined_by_the_limb_of_the_table_or_by_none() -> None:
    for a in range(18):
        for b in range(a + 1, 18):
            picture = draw_pose(_frame(_person({a: (100, 256), b: (400, 256)})), 512, 512)
            expected = GOLDEN_LIMBS.get((a, b)) or GOLDEN_LIMBS.get((b, a)) or (0, 0, 0)
            assert tuple(picture[256, 250]) == expected, (a, b)


def test_limbs_are_eight_pixels_wide_at_512_and_keep_their_proportion() -> None:
    for side, half in ((512, 4), (1024, 8), (256, 2), (128, 1), (64, 1)):
        frame = _frame(_person({1: (0.2, 0.5), 2: (0.8, 0.5)}))
        column = draw_pose(frame, side, side)[:, side // 2].any(axis=1)
        assert column.sum() == 2 * half + 1, side


def test_the_smaller_side_sets_the_thickness() -> None:
    frame = _frame(_person({0: (0.5, 0.5)}))
    rows = np.flatnonzero(draw_pose(frame, 1024, 512).any(axis=(1, 2)))
    assert len(rows) == 9


def test_joints_lie_over_limbs() -> None:
    picture = draw_pose(_frame(_person({1: (100, 100), 2: (200, 100), 5: (150, 100)})), 512, 512)
    assert bytes(picture[100, 150]).hex() == GOLDEN_JOINT_COLOURS[5]
    assert bytes(picture[100, 100]).hex() == GOLDEN_JOINT_COLOURS[1]


def test_a_joint_with_confidence_zero_takes_its_limbs_with_it() -> None:
    person = _person({1: (100, 256), 2: (400, 256)})
    person["pose_keypoints_2d"][2 * 3 + 2] = 0
    picture = draw_pose(_frame(person), 512, 512)
    assert not picture[256, 250].any()
    assert not picture[256, 400].any()
    assert picture[256, 100].any()


def test_body_25_draws_the_same_person() -> None:
    # BODY_25 puts a middle hip at 8 and so moves what follows by one; feet are left out.
    points = {i: (20.0 + 15 * i, 30.0 + 9 * i) for i in range(18)}
    longer = {i if i < 8 else i + 1: point for i, point in points.items()}
    feet_and_hip = dict.fromkeys((8, *range(19, 25)), (500.0, 500.0))
    ours = draw_pose(_frame(_person(points)), 512, 512)
    theirs = draw_pose(_frame(_person(longer | feet_and_hip, count=25)), 512, 512)
    assert (ours == theirs).all()


def test_pixels_and_fractions_and_another_canvas_give_the_same_picture() -> None:
    points = {i: (16 * i, 400 - 16 * i) for i in range(18)}
    wide = {i: (x / 512, y / 512) for i, (x, y) in points.items()}
    double = {i: (2 * x, 2 * y) for i, (x, y) in points.items()}
    pixels = draw_pose(_frame(_person(points)), 512, 512)
    assert pixels.any()
    assert (draw_pose({"people": [_person(wide)]}, 512, 512) == pixels).all()
    assert (draw_pose(_frame(_person(wide), size=999), 512, 512) == pixels).all()
    assert (draw_pose(_frame(_person(double), size=1024), 512, 512) == pixels).all()
    # OpenPose's own files name no canvas: their pixels are those of the drawing.
    assert (draw_pose({"people": [_person(points)]}, 512, 512) == pixels).all()


def test_the_canvas_is_kept_also_for_fractions() -> None:
    """sd-webui's editor writes fractions and the size of the picture they belong to."""
    (pose,) = parse_poses(_frame(_person({0: (0.5, 0.5)}), size=768))
    assert (pose.canvas, pose.fractions) == ((768, 768), True)
    (pose,) = parse_poses(_frame(_person({0: (50, 50)}), size=768))
    assert (pose.canvas, pose.fractions) == ((768, 768), False)


def test_a_canvas_of_another_shape_is_stretched() -> None:
    frame = {"people": [_person({0: (300, 50)})], "canvas_width": 400, "canvas_height": 100}
    picture = draw_pose(frame, 128, 256)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert (rows.mean(), columns.mean()) == (128, 96)


def test_several_people_and_several_frames() -> None:
    two = _frame(_person({0: (10, 10)}), _person({0: (90, 90)}), size=100)
    first, second = parse_poses(json.dumps([two, _frame(size=100)]))
    assert draw_pose(first, 100, 100)[[10, 90], [10, 90], 0].tolist() == [255, 255]
    assert not draw_pose(second, 100, 100).any()


def test_text_and_data_give_equal_frozen_values() -> None:
    frame = _frame(_person({0: (10, 20)}), {"pose_keypoints_2d": None})
    assert parse_poses(json.dumps(frame)) == parse_poses(frame) == parse_poses([frame])
    (pose,) = parse_poses(frame)
    assert pose.people[0].body[0] == Joint(10, 20)
    assert pose.people[1] == Person()
    assert pose.canvas == (512, 512)
    assert hash(pose) == hash(parse_poses(frame)[0])


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("[]", "empty list"),
        ("3", 'no list "people"'),
        ('{"3": {"class_type": "KSampler"}}', 'no list "people"'),
        ('[{"people": []}, {"people": {}}]', "Frame 2"),
        ('{"people": [{}]}', 'The pose JSON, person 1, has no "pose_keypoints_2d"'),
        ('{"people": [{"pose_keypoints_2d": 3}]}', "no list of numbers"),
        (json.dumps(_frame(_person({}), _person({}, count=17))), "person 2, has 51 .* 54 .* 75"),
    ],
)
def test_bad_json_is_one_sentence_that_says_where(source: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        parse_poses(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "true", "null", '"7"', "[]", "1" + "0" * 400]
)
def test_a_joint_that_is_no_number_is_named(value: str) -> None:
    text = json.dumps(_frame(_person({3: (-77, 1)}))).replace("-77", value)
    with pytest.raises(UserError, match="person 1, right elbow"):
        parse_poses(text)


@pytest.mark.parametrize(
    "canvas", [(0, 512), (-1, 512), (512, "512"), (512, None), (True, 512), (float("nan"), 1)]
)
def test_a_canvas_that_is_none_is_refused(canvas: tuple[Any, Any]) -> None:
    frame = _frame(_person({0: (10, 10)}))
    frame["canvas_width"], frame["canvas_height"] = canvas
    with pytest.raises(UserError, match="above 0"):
        parse_poses(frame)


def test_a_joint_miles_away_is_named_with_both_numbers() -> None:
    with pytest.raises(UserError, match=r"Person 1's left wrist .*1e\+30, 5.* 512 x 512"):
        draw_pose(_frame(_person({7: (1e30, 5)})), 512, 512)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (16385, 5)])
def test_a_size_that_cannot_be_drawn_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="pixels;"):
        draw_pose(Pose(()), *size)


coordinate = st.floats(-1, 2, width=32)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=18, max_size=18),
       st.integers(1, 48), st.integers(1, 48))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_any_pose_draws_at_any_size(
    joints: list[tuple[float, float]], width: int, height: int
) -> None:
    picture = draw_pose(_frame(_person(dict(enumerate(joints)))), width, height)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["people", "pose_keypoints_2d", "canvas_width", "canvas_height"]), inner
        )
    ),
)


@given(json_values)
@settings(max_examples=150, deadline=None)
def test_any_json_is_either_drawn_or_refused_in_one_sentence(data: Any) -> None:
    complaint = ""
    try:
        for pose in parse_poses(json.dumps(data)):
            draw_pose(pose, 16, 16)
    except UserError as error:
        complaint = str(error)
    assert "\n" not in complaint
