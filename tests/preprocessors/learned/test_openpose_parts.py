"""Hands and faces: looked for in the right square, and their points where they are."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from controlstack.preprocessors.learned.networks import annotators
from controlstack.preprocessors.learned.openpose_parts import (
    Square,
    face_square,
    find_face,
    find_hand,
    hand_square,
)
from controlstack.preprocessors.pose.people import JOINTS


def _body(**joints: tuple[float, float]) -> np.ndarray:
    body = np.full((18, 2), np.nan)
    for name, point in joints.items():
        body[JOINTS.index(name.replace("_", " "))] = point
    return body


ARMS = _body(
    right_shoulder=(200, 150), right_elbow=(150, 200), right_wrist=(110, 230),
    left_shoulder=(300, 150), left_elbow=(350, 210), left_wrist=(380, 260),
)  # fmt: skip
HEAD = _body(
    nose=(250, 100), right_eye=(240, 90), left_eye=(262, 91), right_ear=(220, 95),
    left_ear=(275, 96),
)  # fmt: skip


def _theirs(body: np.ndarray, size: tuple[int, int]) -> tuple[list[tuple[int, ...]], object]:
    """What controlnet-aux's handDetect and faceDetect say of a body in a picture of `size`."""
    module = annotators("open_pose.util")
    point = annotators("open_pose.body").Keypoint
    found = annotators("open_pose.body").BodyResult(
        [None if np.isnan(x) else point(x, y) for x, y in body], 1, 18
    )
    picture = np.zeros((*size, 3), np.uint8)
    return module.handDetect(found, picture), module.faceDetect(found, picture)


def test_hands_are_looked_for_where_controlnet_aux_does() -> None:
    (left, right), _ = _theirs(ARMS, (500, 500))
    for side, (x, y, width, is_left) in (("left", left), ("right", right)):
        assert hand_square(ARMS, side) == Square(x, y, width)
        assert is_left == (side == "left")


def test_faces_are_looked_for_where_controlnet_aux_does() -> None:
    for without in ((), ("left_ear",), ("left_ear", "right_ear"), ("left_eye", "right_eye")):
        head = HEAD.copy()
        for name in without:
            head[JOINTS.index(name.replace("_", " "))] = np.nan
        _, (x, y, reach) = _theirs(head, (500, 500))
        square = face_square(head)
        assert square is not None
        assert (square.left, square.top) == (x, y)
        assert abs(square.edge - 2 * reach) <= 1 or square.edge == reach


def test_nothing_is_looked_for_without_an_arm_or_a_head() -> None:
    for name in ("left shoulder", "left elbow", "left wrist"):
        body = ARMS.copy()
        body[JOINTS.index(name)] = np.nan
        assert hand_square(body, "left") is None
        assert hand_square(body, "right") is not None
    assert face_square(ARMS) is None
    assert face_square(_body(nose=(250, 100))) is None
    assert face_square(_body(left_eye=(262, 91), right_eye=(240, 90))) is None


def test_what_is_smaller_than_20_pixels_is_left_alone() -> None:
    arm = _body(right_shoulder=(30, 30), right_elbow=(30, 36), right_wrist=(30, 43))
    assert hand_square(arm, "right") is None
    assert hand_square(arm * 2, "right") is not None
    assert face_square(_body(nose=(50, 50), left_eye=(53, 47))) is None


def test_a_square_that_reaches_out_of_the_picture_is_grey_there() -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    part = Square(-1, 2, 4).cut(picture)
    assert (part[:2, 1:] == picture[2:, :3]).all()
    assert (part[2:] == 128).all()
    assert (part[:, 0] == 128).all()
    assert (Square(50, -70, 6).cut(picture) == 128).all()
    assert (Square(1, 1, 3).cut(picture) == picture[1:4, 1:4]).all()


def test_a_cell_s_middle_in_the_picture() -> None:
    # The first of 128 cells of 2 x 2 pixels covers pixels 10 and 11, 20 and 21.
    assert Square(10, 20, 256).place(row=0, column=0, cells=128) == (10.5, 20.5)
    assert Square(-4, 20, 64).place(row=63, column=1, cells=64) == (-3, 83)


def _dotted(x: int, y: int) -> np.ndarray:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    return picture


def _finds_the_dot(points: int, say: Callable[[int, np.ndarray], np.ndarray]) -> Callable:
    """A network of so many `points` and the background, that has each where it sees light; `say`
    changes a point's map."""

    def network(picture: np.ndarray) -> np.ndarray:
        assert picture.dtype == np.uint8
        assert picture.shape[0] % 8 == picture.shape[1] % 8 == 0
        light = np.clip(picture.mean(axis=2) - 180, 0, None)
        y, x = (
            (light.sum(axis=1 - axis) @ np.arange(light.shape[axis])) / light.sum()
            for axis in (0, 1)
        )
        rows, columns = (np.arange(side // 8) * 8 + 3.5 for side in picture.shape[:2])
        bump = np.exp(-((rows[:, None] - y) ** 2 + (columns[None] - x) ** 2) / (2 * 10**2))
        maps = [say(point, bump.astype(np.float32)) for point in range(points)]
        return np.stack([*maps, 1 - bump]).astype(np.float32)

    return network


def _as_it_is(point: int, bump: np.ndarray) -> np.ndarray:
    return bump


DOTS = [
    (Square(100, 50, 120), (150, 90)),
    (Square(100, 50, 120), (104, 166)),
    (Square(-30, 200, 140), (20, 290)),
    (Square(330, -40, 90), (390, 10)),
    (Square(150, 150, 24), (160, 165)),
    (Square(60, 10, 260), (270, 200)),
]


@pytest.mark.parametrize(("square", "dot"), DOTS)
def test_a_hand_s_points_are_where_they_are_seen(square: Square, dot: tuple[int, int]) -> None:
    points = find_hand(_dotted(*dot), square, _finds_the_dot(21, _as_it_is))
    assert points.shape == (21, 2)
    # A point is placed on a grid of 128 x 128 over the square.
    assert np.abs(points - dot).max() <= max(1, square.edge / 128)


@pytest.mark.parametrize(("square", "dot"), DOTS)
def test_a_face_s_points_are_where_they_are_seen(square: Square, dot: tuple[int, int]) -> None:
    points = find_face(_dotted(*dot), square, _finds_the_dot(70, _as_it_is))
    assert points.shape == (70, 2)
    assert np.abs(points - dot).max() <= 1


def _some_missing(point: int, bump: np.ndarray) -> np.ndarray:
    return bump * 0.01 if point in (3, 20) else bump


@pytest.mark.parametrize(("find", "number"), [(find_hand, 21), (find_face, 70)])
def test_a_point_that_is_not_found_leaves_its_place_empty(find: Callable, number: int) -> None:
    points = find(_dotted(150, 90), Square(100, 50, 120), _finds_the_dot(number, _some_missing))
    assert np.flatnonzero(np.isnan(points).any(axis=1)).tolist() == [3, 20]


def test_of_two_places_the_one_with_more_in_it_is_a_hand_s_point() -> None:
    def network(picture: np.ndarray) -> np.ndarray:
        cells = picture.shape[0] // 8
        y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
        broad = 0.7 * np.exp(-((x - 0.25) ** 2 + (y - 0.25) ** 2) / (2 * 0.08**2))
        narrow = 0.9 * np.exp(-((x - 0.75) ** 2 + (y - 0.75) ** 2) / (2 * 0.03**2))
        return np.repeat((broad + narrow)[None].astype(np.float32), 22, axis=0)

    points = find_hand(np.zeros((200, 200, 3), np.uint8), Square(0, 0, 128), network)
    assert np.abs(points + 0.5 - 32).max() <= 1


def test_a_hand_is_where_controlnet_aux_finds_it() -> None:
    """Its own class, with a network of our own behind it; it cuts pixels down, we take middles."""
    picture = _dotted(150, 90)
    square = Square(100, 50, 120)
    network = _finds_the_dot(21, _as_it_is)

    class Behind(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.device = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            seen = ((pixels[0].permute(1, 2, 0) + 0.5) * 256).round().byte().numpy()
            return torch.from_numpy(network(seen))[None]

    hand = annotators("open_pose.hand").Hand
    detector = hand.__new__(hand)
    detector.model = Behind()
    theirs = np.add(detector(square.cut(picture)), (square.left, square.top))
    ours = find_hand(picture, square, network)
    assert np.abs(ours - theirs).max() <= 1
