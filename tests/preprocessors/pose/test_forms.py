"""The forms of other editors and of POSE_KEYPOINT wires, and what is kept and not drawn."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.preprocessors.making import Sizing, make
from controlstack.preprocessors.pose.draw import POSE, draw_pose
from controlstack.preprocessors.pose.people import (
    Joint,
    parse_keypoints,
    parse_poses,
    to_json,
    to_keypoints,
)
from tests.preprocessors.pose.frames import frame, keypoints, person

PLACES = [[20 + 10 * i, 30 + 5 * i] for i in range(18)]
SAME = person({i: (x, y) for i, (x, y) in enumerate(PLACES)})
FEET = {i: (100.0 + i, 200.0) for i in range(6)}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("grouped", [False, True], ids=["sd-webui", "ComfyUI"])
def test_the_older_editors_points_are_the_same_people(count: int, grouped: bool) -> None:
    given: list[Any] = [PLACES] * count if grouped else PLACES * count
    text = json.dumps({"width": 512, "height": 512, "keypoints": given})
    assert parse_poses(text) == parse_poses(frame(*[SAME] * count))


@pytest.mark.parametrize(
    "given", [PLACES[:17], [PLACES[:17]], [[1, 2, 3]] * 18, 7, [7], [[["a", 1]] * 18], [None] * 18]
)
def test_points_that_are_no_people_are_refused(given: Any) -> None:
    with pytest.raises(UserError, match=r'has "keypoints" that are no people of 18 points'):
        parse_poses({"width": 512, "height": 512, "keypoints": given})


def test_an_older_editors_canvas_is_read_as_any_canvas() -> None:
    with pytest.raises(UserError, match="from 1 up"):
        parse_poses({"width": 0, "height": 512, "keypoints": PLACES})
    assert parse_poses({"width": 9, "height": 7, "keypoints": []})[0].canvas == (9, 7)


@pytest.mark.parametrize("count", [1, 5, 67, 68, 69, 70])
def test_faces_of_fewer_points_are_drawn_as_they_are(count: int) -> None:
    places = {i: (20.0 + 5 * (i % 10), 20.0 + 5 * (i // 10)) for i in range(count)}
    fewer = {"face_keypoints_2d": keypoints(places, count)}
    whole = {"face_keypoints_2d": keypoints(places, 70)}
    drawn = draw_pose(frame(fewer, size=128), 128, 128)
    assert np.array_equal(drawn, draw_pose(frame(whole, size=128), 128, 128))
    assert (drawn == 255).all(axis=2).any()


def test_feet_are_kept_and_not_drawn() -> None:
    body = {i: (50.0 + i, 60.0 + i) for i in range(18)}
    with_feet = person(body) | {"foot_keypoints_2d": keypoints(FEET, 6)}
    (pose,) = parse_poses(frame(with_feet))
    assert pose.people[0].feet == tuple(Joint(*FEET[i]) for i in range(6))
    assert to_json(pose)["people"][0]["foot_keypoints_2d"] == keypoints(FEET, 6)  # type: ignore[index]
    assert np.array_equal(draw_pose(pose, 512, 512), draw_pose(frame(person(body)), 512, 512))


def test_feet_of_body_25_are_the_same_feet() -> None:
    body = keypoints({0: (50, 60)}, 25)
    body[3 * 19 :] = keypoints(FEET, 6)
    (pose,) = parse_poses(frame({"pose_keypoints_2d": body}))
    assert pose.people[0].feet == tuple(Joint(*FEET[i]) for i in range(6))
    (again,) = parse_poses(to_json(pose))
    assert again == pose


def test_animals_are_named_as_not_drawn(caplog: pytest.LogCaptureFixture) -> None:
    data = frame(SAME) | {"animals": [[1.0] * 51, [2.0] * 51]}
    (pose,) = parse_poses(data)
    with caplog.at_level(logging.WARNING, "controlstack"):
        made = make(POSE, pose, POSE.settings({}), Sizing())
    assert "animals are not drawn: 2 of them" in caplog.text
    assert np.array_equal(made.hint, draw_pose(frame(SAME), 512, 512))


def test_animals_alone_are_refused() -> None:
    """As AnimalPose of comfyui_controlnet_aux writes them."""
    data = {
        "version": "ap10k",
        "animals": [[[1, 1, 1]] * 17],
        "canvas_width": 9,
        "canvas_height": 9,
    }
    with pytest.raises(UserError, match="Frame 1 has animals and no people"):
        parse_keypoints([data])


def test_a_wire_brings_a_frame_a_picture() -> None:
    none: dict[str, Any] = dict.fromkeys(("hand_left_keypoints_2d", "face_keypoints_2d"))
    frames = [frame(SAME | none), frame()]
    poses = parse_keypoints(frames)
    assert poses == parse_poses(frames) == parse_keypoints(tuple(frames))
    assert parse_keypoints(frames[0]) == poses[:1]


def test_unsure_points_of_a_wire_were_not_found() -> None:
    """The core's SDPose gives every point with its score."""
    body = keypoints({i: (10.0 + i, 20.0) for i in range(18)}, 18)
    body[2::3] = [0.29, 0.3, 0.9, *[0.01] * 15]
    data = frame({"pose_keypoints_2d": body})
    found = [joint is not None for joint in parse_keypoints([data])[0].people[0].body]
    assert found == [False, True, True, *[False] * 15]
    assert None not in parse_poses(data)[0].people[0].body
    sure = [joint is not None for joint in parse_keypoints([data], 0.9)[0].people[0].body]
    assert sure == [False, False, True, *[False] * 15]


def test_a_threshold_draws_as_if_the_points_below_it_were_not_there() -> None:
    hand = keypoints({i: (30.0 + 9 * i, 400.0) for i in range(21)}, 21)
    toes = keypoints(FEET, 6)
    body = keypoints({i: tuple(map(float, place)) for i, place in enumerate(PLACES)}, 18)
    unsure, gone = list(body), list(body)
    unsure[2::6], gone[2::6] = [0.4] * 9, [0.0] * 9
    hand[2], toes[2] = 0.4, 0.4
    given = {"hand_left_keypoints_2d": hand, "foot_keypoints_2d": toes}
    frames = [frame({"pose_keypoints_2d": one, **given}) for one in (unsure, gone)]
    everything = draw_pose(frames[0], 512, 512)
    for threshold, same in ((0.0, True), (0.4, True), (0.41, False)):
        drawn = draw_pose(frames[0], 512, 512, confidence_threshold=threshold)
        assert np.array_equal(drawn, everything) == same
    fewer = draw_pose(frames[1], 512, 512, confidence_threshold=0.41)
    assert np.array_equal(drawn, fewer)
    (someone,) = parse_poses(frames[0], 0.41)[0].people
    assert (someone.left_hand[0], someone.feet[0]) == (None, None)
    assert someone.feet[1] is not None


@pytest.mark.parametrize("given", [None, [], "people", 3])
def test_a_wire_of_something_else_is_refused(given: object) -> None:
    with pytest.raises(UserError, match="The POSE_KEYPOINT wire brings"):
        parse_keypoints(given)


@pytest.mark.parametrize(
    "kind",
    [
        lambda numbers: np.array(numbers),
        lambda numbers: np.array(numbers, np.float32),
        lambda numbers: list(np.array(numbers, np.float32)),
        torch.tensor,
        lambda numbers: list(torch.tensor(numbers)),
        tuple,
    ],
)
def test_a_wire_may_bring_arrays_and_their_numbers(kind: Callable[[list[float]], Any]) -> None:
    """As nodes that take them from a network leave them."""
    plain = frame({"pose_keypoints_2d": [float(round(n)) for n in SAME["pose_keypoints_2d"]]})
    (person,) = plain["people"]
    given = {
        "people": ({"pose_keypoints_2d": kind(person["pose_keypoints_2d"])},),
        "canvas_width": np.int64(plain["canvas_width"]),
        "canvas_height": np.float32(plain["canvas_height"]),
    }
    assert parse_keypoints([given]) == parse_keypoints([plain])
    with pytest.raises(UserError, match="person 1, has 51 numbers in pose_keypoints_2d"):
        parse_keypoints([{"people": [{"pose_keypoints_2d": kind([1.0] * 51)}]}])


def test_a_wire_out_has_confidence_1_for_what_was_found() -> None:
    """comfyui_controlnet_aux leaves out points whose confidence is below 1."""
    hand = keypoints({0: (30.0, 40.0)}, 21)
    toes, body = keypoints(FEET, 6), list(SAME["pose_keypoints_2d"])
    hand[2], toes[2], body[2::3] = 0.5, 0.4, [0.0, *[0.35 + i / 100 for i in range(17)]]
    lists = {"hand_left_keypoints_2d": hand, "foot_keypoints_2d": toes, "pose_keypoints_2d": body}
    (pose,) = parse_keypoints([frame(lists)])
    (someone,) = to_keypoints(pose)["people"]  # type: ignore[misc, attr-defined]
    for key, given in lists.items():
        assert someone[key][2::3] == [float(confidence > 0) for confidence in given[2::3]]
        assert someone[key][3:5] == given[3:5]


def test_a_wire_out_has_all_points_of_each_part() -> None:
    """SDPose Draw Keypoints reshapes each list to its number of points."""
    (pose,) = parse_poses(frame(SAME))
    out: dict[str, Any] = to_keypoints(pose)
    (someone,) = out["people"]
    counts = {key: len(numbers) for key, numbers in someone.items()}
    assert counts == {
        "pose_keypoints_2d": 54,
        "hand_left_keypoints_2d": 63,
        "hand_right_keypoints_2d": 63,
        "face_keypoints_2d": 210,
    }
    assert (out["canvas_width"], out["canvas_height"]) == (512, 512)
    assert parse_keypoints([out]) == (pose,)
