"""Turned squares: what is seen in them lies where they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from controlstack.preprocessors.mediapipe.squares import Scene, Square, between, turn, upright


def dotted(x: int, y: int, size: tuple[int, int] = (200, 300), reach: int = 2) -> Scene:
    """A picture with a bright dot whose middle is at (x + 0.5, y + 0.5)."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[y - reach : y + reach + 1, x - reach : x + reach + 1] = 255
    return Scene(picture)


@pytest.mark.parametrize("angle", [0, 0.4, math.pi / 2, -2.5])
@pytest.mark.parametrize(("side", "pixels"), [(100, 100), (160, 64), (120, 256)])
def test_a_dot_is_seen_where_the_square_says(angle: float, side: float, pixels: int) -> None:
    square = Square(140, 90, side, angle)
    shown = dotted(150, 80).seen(square, pixels)[..., 0].astype(float)
    rows, columns = np.indices(shown.shape) + 0.5
    seen = np.array([np.average(columns, weights=shown), np.average(rows, weights=shown)])
    there = square.outside(seen[None] / pixels)[0]
    assert there == pytest.approx((150.5, 80.5), abs=0.6 * side / pixels)


def test_what_shrinks_much_keeps_a_thin_line() -> None:
    """Single pixels would miss it, or make it as bright as a broad one."""
    picture = np.zeros((1024, 1024, 3), np.uint8)
    picture[:, 509:513] = 255
    shown = Scene(picture).seen(Square(512, 512, 1024), 64)
    assert shown[32, :, 0].astype(float).sum() == pytest.approx(4 / 16 * 255, rel=0.2)


def test_beyond_the_edge_it_is_black_or_goes_on() -> None:
    scene = Scene(np.full((50, 80, 3), 200, np.uint8))
    square = Square(40, 25, 200)
    assert (scene.seen(square, 64) == 200).all()
    black = scene.seen(square, 64, black=True)
    assert black[0, 0].max() == 0
    assert black[32, 32].min() == 200


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2)])
def test_pictures_of_a_pixel_are_seen(size: tuple[int, int]) -> None:
    scene = Scene(np.full((*size, 3), 90, np.uint8))
    assert scene.seen(Square(size[1] / 2, size[0] / 2, max(size)), 224).shape == (224, 224, 3)


def test_a_line_up_is_not_turned_and_one_to_the_right_is_turned_back() -> None:
    """Angles are counted to the left, and 90 is up."""
    start = np.array([10.0, 10.0])
    assert turn(start, np.array([10.0, 0.0]), 90) == pytest.approx(0)
    assert turn(start, np.array([20.0, 10.0]), 90) == pytest.approx(math.pi / 2)
    assert turn(start, np.array([20.0, 10.0]), 0) == pytest.approx(0)
    assert turn(start, np.array([10.0, 20.0]), 0) == pytest.approx(math.pi / 2)


def test_a_square_reaches_from_its_middle_to_the_edge() -> None:
    square = between(np.array([50.0, 60.0]), np.array([50.0, 30.0]), 90)
    assert square == Square(50, 60, 60, 0)
    turned = between(np.array([50.0, 60.0]), np.array([80.0, 60.0]), 90)
    top = turned.outside(np.array([[0.5, 0.0]]))[0]
    assert top == pytest.approx((80, 60)), "what it reaches to is up in it"


def test_a_square_moves_along_its_own_side() -> None:
    assert Square(50, 50, 20).moved(-0.1, 2) == Square(50, 48, 40)
    turned = Square(50, 50, 20, math.pi / 2).moved(-0.1, 1)
    assert (turned.x, turned.y) == pytest.approx((52, 50))


def test_a_square_of_points_has_their_longer_side() -> None:
    points = np.array([[0.0, 10.0], [30.0, 20.0]])
    square = upright(points, points[0], np.array([30.0, 10.0]), 0)
    assert square == Square(15, 15, 30, 0)
