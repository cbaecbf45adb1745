"""A frame as a picture: sizes, canvases, switches, and controlnet-aux's own drawing beside ours."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.pose.draw import CONFIDENCE, DRAWING, POSE, draw_pose
from controlstack.preprocessors.pose.people import Joint, Person, Points, Pose, parse_poses
from tests.preprocessors.pose.frames import frame, keypoints, person

WHOLE = {
    **person({i: (100.0 + i, 20.0 + 20 * i) for i in range(18)}),
    "hand_left_keypoints_2d": keypoints({i: (200.0 + i, 20.0 + 20 * i) for i in range(21)}, 21),
    "hand_right_keypoints_2d": keypoints({i: (300.0 + i, 20.0 + 20 * i) for i in range(21)}, 21),
    "face_keypoints_2d": keypoints({i: (400.0 + i % 9, 20.0 + 6 * i) for i in range(70)}, 70),
}
COLUMNS = {"body": slice(80, 140), "hands": slice(180, 340), "face": slice(380, 430)}
"""Where the parts of WHOLE are."""


def test_body_25_draws_the_same_person() -> None:
    # BODY_25 puts a middle hip at 8 and so moves what follows by one; feet are left out.
    points = {i: (20.0 + 15 * i, 30.0 + 9 * i) for i in range(18)}
    longer = {i if i < 8 else i + 1: point for i, point in points.items()}
    feet_and_hip = dict.fromkeys((8, *range(19, 25)), (500.0, 500.0))
    ours = draw_pose(frame(person(points)), 512, 512)
    theirs = draw_pose(frame(person(longer | feet_and_hip, count=25)), 512, 512)
    assert (ours == theirs).all()


def test_pixels_and_fractions_and_another_canvas_give_the_same_picture() -> None:
    def scaled(factor: float) -> dict[str, Any]:
        return {
            key: [n if i % 3 == 2 else n * factor for i, n in enumerate(numbers)]
            for key, numbers in WHOLE.items()
        }

    pixels = draw_pose(frame(WHOLE), 512, 512)
    assert (draw_pose({"people": [scaled(1 / 512)]}, 512, 512) == pixels).all()
    assert (draw_pose(frame(scaled(1 / 512), size=999), 512, 512) == pixels).all()
    assert (draw_pose(frame(scaled(2), size=1024), 512, 512) == pixels).all()
    # OpenPose's own files name no canvas: their pixels are those of the drawing.
    assert (draw_pose({"people": [WHOLE]}, 512, 512) == pixels).all()


def test_a_canvas_of_another_shape_is_stretched() -> None:
    wide = {"people": [person({0: (300, 50)})], "canvas_width": 400, "canvas_height": 100}
    picture = draw_pose(wide, 128, 256)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert (rows.mean(), columns.mean()) == (128, 96)


@pytest.mark.parametrize("side", [49, 700, 1000, 1999])
def test_whole_pixels_of_a_canvas_of_the_picture_s_size_stay_where_they_are(side: int) -> None:
    """x / 49 * 49 is a little less than x for some x, and a pixel would be cut off."""
    for x in range(0, side, 7):
        picture = draw_pose(frame(person({0: (x, x)}), size=side), side, side)
        rows = np.flatnonzero(picture[:, x].any(axis=1))
        radius = max(1, round(side / 128))
        assert (rows.min(), rows.max()) == (max(0, x - radius), min(side - 1, x + radius))


@pytest.mark.parametrize("side", [1.0, 1e6, 1e308])
def test_a_canvas_of_any_size_is_drawn(side: float) -> None:
    pose = Pose((Person(body=(Joint(side / 4, side / 2), *(None,) * 17)),), canvas=(side, side))
    rows, columns = np.nonzero(draw_pose(pose, 64, 64).any(axis=2))
    assert (rows.mean(), columns.mean()) == (32, 16)


def test_several_people_and_several_frames() -> None:
    two = frame(person({0: (10, 10)}), person({0: (90, 90)}), size=100)
    first, second = parse_poses(json.dumps([two, frame(size=100)]))
    assert draw_pose(first, 100, 100)[[10, 90], [10, 90], 0].tolist() == [255, 255]
    assert not draw_pose(second, 100, 100).any()


@pytest.mark.parametrize("style", ["v1.1", "v1.0"])
@pytest.mark.parametrize("off", COLUMNS)
def test_each_switch_leaves_out_its_part_and_nothing_else(off: str, style: str) -> None:
    everything = draw_pose(frame(WHOLE), 512, 512, style=style)
    without: dict[str, Any] = {off: False}
    picture = draw_pose(frame(WHOLE), 512, 512, style=style, **without)
    for part, columns in COLUMNS.items():
        assert everything[:, columns].any()
        if part == off:
            assert not picture[:, columns].any()
        else:
            assert np.array_equal(picture[:, columns], everything[:, columns])


def test_scaled_sticks_leave_hands_and_face_as_they_are() -> None:
    thick, plain = (draw_pose(frame(WHOLE), 512, 512, scale_sticks=on) for on in (True, False))
    for part, columns in COLUMNS.items():
        assert np.array_equal(thick[:, columns], plain[:, columns]) == (part != "body")


def test_the_entry_draws_as_the_function_does_by_default() -> None:
    assert POSE.run is not None
    chosen = POSE.settings({})
    assert chosen == {
        "style": "v1.1",
        "body": True,
        "hands": True,
        "face": True,
        "scale_sticks": False,
        "confidence_threshold": 0.0,
    }
    (pose,) = parse_poses(frame(WHOLE))
    assert np.array_equal(POSE.run(pose, 96, 64, **chosen), draw_pose(pose, 96, 64))
    by_keyword = inspect.signature(draw_pose).parameters.values()
    assert {p.name: p.default for p in by_keyword if p.kind is p.KEYWORD_ONLY} == {
        setting.name: setting.default for setting in (*DRAWING, CONFIDENCE)
    }
    with pytest.raises(UserError, match=r"style is 'v2'; choose one of v1\.1, v1\.0"):
        POSE.settings({"style": "v2"})


@pytest.mark.parametrize(
    ("someone", "says"),
    [
        (person({7: (1e30, 5)}), r"Person 1's left wrist .*1e\+30, 5.* 512 x 512"),
        (
            {"hand_right_keypoints_2d": keypoints({8: (5, -5e4)}, 21)},
            r"Person 1's right hand index 4 .*5, -50000.* 512 x 512",
        ),
        ({"face_keypoints_2d": keypoints({69: (1e9, 0)}, 70)}, "Person 1's face point 69 "),
    ],
)
def test_a_point_miles_away_is_named_with_both_numbers(someone: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        draw_pose(frame(someone), 512, 512)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (16385, 5), (16384, 16384)])
def test_a_size_that_cannot_be_drawn_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"picture of a pose is {size[0]} x {size[1]} pixels; give"):
        draw_pose(Pose(()), *size)


coordinate = st.floats(-1, 2, width=32)


def _fractions(count: int) -> st.SearchStrategy[Points]:
    return st.tuples(*[st.none() | st.builds(Joint, coordinate, coordinate)] * count)


anyone = st.builds(Person, _fractions(18), _fractions(21), _fractions(21), _fractions(70))
side = st.integers(1, 64) | st.integers(1, 2048)


@given(st.lists(anyone, max_size=2), side, side, st.sampled_from(["v1.1", "v1.0"]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_people_are_drawn_on_any_canvas(
    people: list[Person], width: int, height: int, style: str, scale_sticks: bool
) -> None:
    pose = Pose(tuple(people), fractions=True)
    picture = draw_pose(pose, width, height, style=style, scale_sticks=scale_sticks)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    inside = [j for p in people for j in p.body if j and 0 <= j.x < 1 and 0 <= j.y < 1]
    assert bool(inside) <= bool(picture.any())


Draw = Callable[[list[dict[str, Any]], int, int], npt.NDArray[np.uint8]]


@pytest.fixture(scope="module")
def reference() -> Draw:
    """controlnet-aux's `draw_poses`, given people as OpenPose JSON in fractions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux.open_pose import PoseResult, draw_poses
        from controlnet_aux.open_pose.body import BodyResult, Keypoint

    def points(numbers: list[float], missing: Any) -> list[Any]:
        triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        return [Keypoint(x, y) if found else missing for x, y, found in triples]

    def draw(people: list[dict[str, Any]], width: int, height: int) -> npt.NDArray[np.uint8]:
        nowhere = Keypoint(-1 / width, -1 / height)
        poses = [
            PoseResult(
                BodyResult(points(someone["pose_keypoints_2d"], None), 0, 0),
                points(someone["hand_left_keypoints_2d"], nowhere),
                points(someone["hand_right_keypoints_2d"], nowhere),
                points(someone["face_keypoints_2d"], nowhere),
            )
            for someone in people
        ]
        picture: npt.NDArray[np.uint8] = draw_poses(poses, height, width)
        return picture

    return draw


@pytest.mark.parametrize("size", [(512, 512), (768, 512), (512, 1100)])
def test_every_pixel_is_that_of_controlnet_aux(reference: Draw, size: tuple[int, int]) -> None:
    """On a smaller side of 512, the one size that its fixed pixels are meant for."""
    for seed in range(6):
        people = [_anyone(np.random.default_rng([seed, number])) for number in range(1 + seed % 3)]
        ours = draw_pose({"people": people}, *size)
        assert np.array_equal(ours, reference(people, *size)), seed


def _anyone(draw: np.random.Generator) -> dict[str, Any]:
    """A person of scattered points, in fractions, in and around the picture."""
    counts = {
        "pose_keypoints_2d": 18,
        "hand_left_keypoints_2d": 21,
        "hand_right_keypoints_2d": 21,
        "face_keypoints_2d": 70,
    }
    return {
        key: keypoints(
            {i: tuple(draw.uniform(-0.1, 1.1, 2)) for i in range(count) if draw.random() < 0.8},
            count,
        )
        for key, count in counts.items()
    }
