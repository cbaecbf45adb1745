"""OpenPose JSON: read, written, and refused in one sentence that says where."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import (
    Joint,
    Person,
    Points,
    Pose,
    parse_poses,
    to_json,
)
from tests.preprocessors.pose.frames import frame, keypoints, person

COUNTS = {
    "pose_keypoints_2d": 18,
    "hand_left_keypoints_2d": 21,
    "hand_right_keypoints_2d": 21,
    "face_keypoints_2d": 70,
    "foot_keypoints_2d": 6,
}


def test_text_and_data_give_equal_frozen_values() -> None:
    data = frame(person({0: (10, 20)}), {"pose_keypoints_2d": None})
    assert parse_poses(json.dumps(data)) == parse_poses(data) == parse_poses([data])
    (pose,) = parse_poses(data)
    assert pose.people[0].body[0] == Joint(10, 20)
    assert pose.people[1] == Person()
    assert pose.canvas == (512, 512)
    assert hash(pose) == hash(parse_poses(data)[0])


def test_hands_and_face_come_to_their_own_places() -> None:
    data = person({4: (400, 300)}) | {
        "hand_left_keypoints_2d": keypoints({20: (1, 2)}, 21),
        "hand_right_keypoints_2d": keypoints({0: (3, 4)}, 21),
        "face_keypoints_2d": keypoints({67: (5, 6)}, 68),
    }
    ((someone,),) = (pose.people for pose in parse_poses(frame(data)))
    assert someone.body == (None,) * 4 + (Joint(400, 300),) + (None,) * 13
    assert someone.left_hand == (None,) * 20 + (Joint(1, 2),)
    assert someone.right_hand == (Joint(3, 4),) + (None,) * 20
    assert someone.face == (None,) * 67 + (Joint(5, 6), None, None)


@pytest.mark.parametrize("nothing", [None, [], "left out", [0] * 63])
def test_a_hand_that_was_not_found_is_written_in_many_ways(nothing: Any) -> None:
    """null by sd-webui and comfyui_controlnet_aux, empty or all zeros by OpenPose."""
    data = person({0: (10, 20)})
    if nothing != "left out":
        data["hand_left_keypoints_2d"] = nothing
    (pose,) = parse_poses(frame(data))
    assert pose.people[0].left_hand == (None,) * 21


def test_a_hand_or_a_face_needs_no_body() -> None:
    (pose,) = parse_poses(frame({"face_keypoints_2d": keypoints({0: (100, 50)}, 70)}))
    assert pose.people[0].body == (None,) * 18
    assert pose.people[0].face[0] == Joint(100, 50)


def test_the_canvas_is_kept_also_for_fractions() -> None:
    """sd-webui's editor writes fractions and the size of the picture they belong to."""
    (pose,) = parse_poses(frame(person({0: (0.5, 0.5)}), size=768))
    assert (pose.canvas, pose.fractions) == ((768, 768), True)
    (pose,) = parse_poses(frame(person({0: (50, 50)}), size=768))
    assert (pose.canvas, pose.fractions) == ((768, 768), False)


def test_one_point_in_pixels_makes_all_of_a_frame_pixels() -> None:
    hand = {"hand_left_keypoints_2d": keypoints({0: (40, 1)}, 21)}
    (pose,) = parse_poses(frame(person({0: (1.0, 0.5)}), hand))
    assert not pose.fractions


def test_what_is_written_is_what_openpose_writes() -> None:
    someone = Person(body=(Joint(10, 20.5), *(None,) * 17), face=(None,) * 69 + (Joint(30, 40),))
    written = to_json(Pose((someone,), canvas=(512.0, 768.0)))
    assert written == {
        "people": [
            {
                "pose_keypoints_2d": [10, 20.5, 1] + [0] * 51,
                "hand_left_keypoints_2d": [],
                "hand_right_keypoints_2d": [],
                "face_keypoints_2d": [0] * 207 + [30, 40, 1],
            }
        ],
        "canvas_width": 512,
        "canvas_height": 768,
    }
    # Whole sides are whole numbers in the text too: other packs make pictures of them.
    assert '"canvas_width": 512,' in json.dumps(written)


def test_without_a_canvas_none_is_written() -> None:
    assert to_json(Pose((), canvas=None)) == {"people": []}


def test_a_pose_of_two_pixels_is_still_drawn_where_it_was() -> None:
    """Its numbers would be read as fractions, so they are written as fractions."""
    tiny = Pose((Person(body=(Joint(1.5, 0.25), *(None,) * 17)),), canvas=(2, 2))
    (again,) = parse_poses(to_json(tiny))
    assert np.array_equal(draw_pose(again, 64, 64), draw_pose(tiny, 64, 64))
    assert np.array_equal(draw_pose(again, 2, 2), draw_pose(tiny, 2, 2))


def test_a_person_has_all_points_of_each_part() -> None:
    with pytest.raises(ValueError, match="left_hand has 21 points, not 20"):
        Person(left_hand=(None,) * 20)


numbers = st.floats(-1e6, 1e6) | st.floats(-2, 2) | st.integers(-3, 3)


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame as some program may write it: parts missing, null, empty, of either length."""
    lengths = {key: [count] for key, count in COUNTS.items()}
    lengths["pose_keypoints_2d"].append(25)
    lengths["face_keypoints_2d"] += [1, 5, 68]
    people = []
    scale = draw(st.sampled_from([1.0, 700.0]))
    for _ in range(draw(st.integers(0, 3))):
        someone: dict[str, Any] = {"pose_keypoints_2d": draw(st.sampled_from([None, []]))}
        for key in draw(st.sets(st.sampled_from(sorted(COUNTS)))):
            count = draw(st.sampled_from(lengths[key]))
            where = np.random.default_rng(draw(st.integers(0, 999))).uniform(-1, 2, (count, 3))
            where[:, :2] *= scale
            where[:, 2] = where[:, 2] > 0
            someone[key] = where.ravel().tolist()
        people.append(someone)
    canvas = draw(st.none() | st.tuples(st.integers(1, 4096), st.floats(1, 4096)))
    sides = {} if canvas is None else {"canvas_width": canvas[0], "canvas_height": canvas[1]}
    return {"people": people, **sides}


@given(frames())
@settings(max_examples=60, deadline=None)
def test_what_was_read_is_read_again_after_writing(data: dict[str, Any]) -> None:
    (pose,) = parse_poses(json.dumps(data))
    assert parse_poses(json.dumps(to_json(pose))) == (pose,)


def _pixels(count: int) -> st.SearchStrategy[Points]:
    place = st.builds(Joint, st.floats(0, 700), st.floats(3, 500))
    return st.tuples(*[st.none() | place] * count)


@given(st.builds(Person, _pixels(18), _pixels(21), _pixels(21), _pixels(70)))
@settings(max_examples=20, deadline=None)
def test_what_was_found_in_a_picture_is_read_again_after_writing(someone: Person) -> None:
    pose = Pose((someone,), canvas=(700, 500))
    assert parse_poses(json.dumps(to_json(pose))) == (pose,)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "nested"),
        ("1" * 5000, "too many digits"),
        ("[]", "empty list"),
        ("3", 'no list "people"'),
        ('{"3": {"class_type": "KSampler"}}', 'no list "people"'),
        ('[{"people": []}, {"people": {}}]', "Frame 2"),
        ('{"people": [{}]}', 'The pose JSON, person 1, has no "pose_keypoints_2d"'),
        ('{"people": [{"pose_keypoints_2d": 3}]}', "no list of numbers"),
        ('{"people": [{"face_keypoints_2d": {"0": 3}}]}', "face_keypoints_2d that is no list"),
    ],
)
def test_bad_json_is_one_sentence_that_says_where(source: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        parse_poses(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "count", "says"),
    [
        ("pose_keypoints_2d", 17 * 3, "51 numbers .* before the left ear; 18 points need 54 and 25 "
         "points need 75"),
        ("pose_keypoints_2d", 1, "1 numbers .* before the nose; "),
        ("pose_keypoints_2d", 56, "56 numbers in pose_keypoints_2d; "),
        ("pose_keypoints_2d", 26 * 3, "78 numbers in pose_keypoints_2d; "),
        ("hand_left_keypoints_2d", 60, "60 numbers .* before the left hand little 4; 21 points "
         "need 63"),
        ("hand_right_keypoints_2d", 12, "12 numbers .* before the right hand thumb 4; "),
        ("face_keypoints_2d", 71 * 3, "213 numbers in face_keypoints_2d; up to 70 points need 210"),
        ("face_keypoints_2d", 2, "2 numbers in face_keypoints_2d; up to 70 points need 210"),
        ("foot_keypoints_2d", 9, "9 numbers .* before the right big toe; 6 points need 18"),
        ("face_keypoints_2d", 3 * 10**6, "3000000 numbers"),
    ],
)  # fmt: skip
def test_missing_points_are_named(key: str, count: int, says: str) -> None:
    data = frame(person({}), {key: [1.0] * count})
    with pytest.raises(UserError, match=f"The pose JSON, person 2, has {says}") as caught:
        parse_poses(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "true", "null", '"7"', "[]", "1" + "0" * 400]
)
@pytest.mark.parametrize(
    ("key", "index", "name"),
    [
        ("pose_keypoints_2d", 3, "right elbow"),
        ("hand_left_keypoints_2d", 0, "left hand wrist"),
        ("hand_right_keypoints_2d", 10, "right hand middle 2"),
        ("face_keypoints_2d", 33, "face point 33"),
        ("foot_keypoints_2d", 5, "right heel"),
    ],
)
def test_a_point_that_is_no_number_is_named(key: str, index: int, name: str, value: str) -> None:
    someone = {key: keypoints({index: (-77, 1)}, COUNTS[key])}
    text = json.dumps(frame(someone)).replace("-77", value)
    said = "not finite" if value in ("NaN", "-Infinity", "1e999") else f"person 1, {name}: "
    with pytest.raises(UserError, match=said):
        parse_poses(text)


@pytest.mark.parametrize(
    "canvas",
    [(0, 512), (-1, 512), (1e-320, 512), (512, "512"), (512, None), (True, 512), (float("nan"), 1)],
)
def test_a_canvas_that_is_none_is_refused(canvas: tuple[Any, Any]) -> None:
    data = frame(person({0: (10, 10)}))
    data["canvas_width"], data["canvas_height"] = canvas
    with pytest.raises(UserError, match="from 1 up"):
        parse_poses(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["people", *COUNTS, "canvas_width", "canvas_height"]), inner
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
