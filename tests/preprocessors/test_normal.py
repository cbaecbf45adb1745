"""Normals from depth: which way is which colour, on scenes whose surfaces are known."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.normal import NORMAL_FROM_DEPTH, RAW_RANGE, normal_from_depth

# The conventions' table: which channel says front, top, left.
CHANNELS = {"v1.0": {"front": 0, "top": 1, "left": 2}, "v1.1": {"left": 0, "top": 1, "front": 2}}
MIDDLE, FULL = 127, 255


def _plane(right: float, down: float, size: int = 64) -> np.ndarray:
    """Depth whose right side (or lower side) is nearer by `right` (`down`) than the other."""
    place = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    return (0.5 + right * place[None, :] + down * place[:, None]).astype(np.float32)


def _bump(size: int = 129) -> np.ndarray:
    """The near half of a ball in front of a wall."""
    place = np.linspace(-1, 1, size, dtype=np.float32)
    inside = np.clip(0.8 - place[None, :] ** 2 - place[:, None] ** 2, 0, None)
    return np.asarray(0.2 + np.sqrt(inside), np.float32).clip(0, 1)


@pytest.mark.parametrize("axes", list(CHANNELS))
@pytest.mark.parametrize(
    ("right", "down", "faces", "sign"),
    [
        (0.4, 0, "left", 1),  # its right side is near, so the surface looks to the left
        (-0.4, 0, "left", -1),
        (0, 0.4, "top", 1),  # a floor: the lower rows are near
        (0, -0.4, "top", -1),  # a ceiling
    ],
)
def test_a_plane_faces_where_it_slopes(
    axes: str, right: float, down: float, faces: str, sign: int
) -> None:
    channel = CHANNELS[axes]
    inner = normal_from_depth(_plane(right, down), axes)[8:-8, 8:-8].astype(int)
    other = "top" if faces == "left" else "left"
    assert ((inner[..., channel[faces]] - MIDDLE) * sign > 60).all()
    assert (abs(inner[..., channel[other]] - MIDDLE) <= 1).all()
    assert (inner[..., channel["front"]] > MIDDLE).all()


@pytest.mark.parametrize("axes", list(CHANNELS))
def test_a_wall_faces_the_viewer(axes: str) -> None:
    flat = normal_from_depth(np.full((5, 6), 0.7, np.float32), axes)
    assert (flat[..., CHANNELS[axes]["front"]] == FULL).all()
    assert (flat[..., CHANNELS[axes]["left"]] == MIDDLE).all()
    assert (flat[..., CHANNELS[axes]["top"]] == MIDDLE).all()


@pytest.mark.parametrize("axes", list(CHANNELS))
def test_a_bump_looks_outwards_on_each_side(axes: str) -> None:
    left, top = CHANNELS[axes]["left"], CHANNELS[axes]["top"]
    ball = normal_from_depth(_bump(), axes).astype(int)
    middle, quarter = 64, 24
    assert ball[middle, quarter, left] > MIDDLE + 60, "its left side"
    assert ball[middle, -quarter, left] < MIDDLE - 60, "its right side"
    assert ball[quarter, middle, top] > MIDDLE + 60, "its upper side"
    assert ball[-quarter, middle, top] < MIDDLE - 60, "its lower side"
    assert ball[middle, middle, CHANNELS[axes]["front"]] >= FULL - 1


def test_one_is_the_other_with_red_and_blue_exchanged() -> None:
    assert (
        normal_from_depth(_bump(), "v1.0") == normal_from_depth(_bump(), "v1.1")[..., ::-1]
    ).all()


def test_the_formula_of_controlnet_1_0_at_512() -> None:
    near = _bump(513)[:512, 1:]
    raw = near * RAW_RANGE
    x = cv2.Sobel(raw, cv2.CV_32F, 1, 0, ksize=3)
    y = cv2.Sobel(raw, cv2.CV_32F, 0, 1, ksize=3)
    x[near < 0.3], y[near < 0.3] = 0, 0
    length = np.sqrt(x**2 + y**2 + 9.0)
    expected = np.stack([3 / length, y / length, x / length], axis=2) * 127.5 + 127.5
    found = normal_from_depth(near, "v1.0", a=3, bg_threshold=0.3)
    assert abs(found - expected).max() < 1.01, "cut to the byte below, and float32"


def test_a_scene_is_coloured_alike_at_every_size() -> None:
    small, large = (normal_from_depth(_plane(0.3, 0.1, size)) for size in (64, 640))
    assert abs(small[32, 32].astype(int) - large[320, 320]).max() <= 2


def test_the_background_faces_the_viewer() -> None:
    depth = _plane(0.1, 0)
    depth[:, :32] -= 0.45
    normals = normal_from_depth(depth)
    assert (depth[:, :32] < 0.1).all()
    assert (normals[:, :32] == (MIDDLE, MIDDLE, FULL)).all()
    assert (normals[1:-1, 40:-1, 0] > MIDDLE + 20).all()
    assert (normal_from_depth(depth, bg_threshold=0)[1:-1, 4:28, 0] > MIDDLE + 20).all()


def test_a_larger_a_flattens() -> None:
    steep, flat = (normal_from_depth(_plane(0.4, 0), a=a)[32, 32, 0] for a in (1.0, 15.0))
    assert steep > flat > MIDDLE


def test_an_edge_stays_where_it_was() -> None:
    depth = np.full((20, 30), 0.2, np.float32)
    depth[6:, 11:] = 0.9
    rows, columns = np.nonzero((normal_from_depth(depth)[..., :2] != MIDDLE).any(axis=2))
    assert (rows.min(), columns.min()) == (5, 10)
    assert set(columns[rows > 8]) == {10, 11}
    assert set(rows[columns > 13]) == {5, 6}


@pytest.mark.parametrize(
    "depth",
    [
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2), np.uint8),
        np.zeros((0, 2), np.float32),
        np.array([[np.nan]], np.float32),
    ],
)
def test_what_is_no_depth_is_refused(depth: np.ndarray) -> None:
    with pytest.raises(UserError, match="depth"):
        normal_from_depth(depth)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 2048),
    seed=st.integers(0, 99),
    axes=st.sampled_from(list(CHANNELS)),
)
@settings(max_examples=12, deadline=None)
def test_any_size(height: int, width: int, seed: int, axes: str) -> None:
    depth = np.random.default_rng(seed).random((height, width), np.float32)
    normals = normal_from_depth(depth, axes)
    assert normals.shape == (height, width, 3)
    assert normals.dtype == np.uint8
    length = np.linalg.norm(normals / 127.5 - 1, axis=2)
    assert (abs(length - 1) < 0.02).all()


def test_the_settings_are_those_of_the_original() -> None:
    values = NORMAL_FROM_DEPTH.settings({})
    assert values == {"axes": "v1.1", "a": 2 * math.pi, "bg_threshold": 0.1}
    with pytest.raises(UserError, match=r"v1\.2"):
        NORMAL_FROM_DEPTH.settings({"axes": "v1.2"})
