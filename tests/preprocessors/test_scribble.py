"""Scribbles: white on black, from a drawing, from a photo and from soft edges."""

import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from controlstack.preprocessors.scribble import from_edges, safe_steps, scribble, xdog

Image = npt.NDArray[np.uint8]


def _photo(seed: int, height: int = 96, width: int = 128) -> Image:
    """Smooth blots of full range."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


@pytest.fixture(scope="module")
def aux() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux import util
    return util


@pytest.mark.parametrize(
    ("pixel", "line"),
    [
        ((126, 126, 126), True),
        ((127, 127, 127), False),
        ((255, 255, 255), False),
        ((255, 255, 126), True),  # a yellow pen: one dark channel is enough
        ((0, 255, 255), True),
    ],
)
def test_a_line_is_what_has_a_channel_below_127(pixel: tuple[int, ...], line: bool) -> None:
    hint = scribble(np.full((1, 1, 3), pixel, np.uint8))
    assert hint.tolist() == [[[255 if line else 0] * 3]]


def test_a_higher_threshold_keeps_paler_lines() -> None:
    pale = np.full((1, 1, 3), 200, np.uint8)
    assert not scribble(pale).any()
    assert scribble(pale, 201).all()


def _difference(picture: Image) -> npt.NDArray[np.float32]:
    """By how much a blur of 5 pixels is lighter than one of 0.5, in every channel."""
    values = picture.astype(np.float32)
    broad, fine = cv2.GaussianBlur(values, (0, 0), 5.0), cv2.GaussianBlur(values, (0, 0), 0.5)
    return np.asarray(np.min(broad - fine, axis=2), np.float32)


@pytest.mark.parametrize("threshold", [2, 3, 32, 33, 64])
def test_xdog_is_twice_the_difference_of_two_blurs_over_the_threshold(threshold: int) -> None:
    picture = _photo(1)
    expected = 2 * np.ceil(_difference(picture).clip(0, 255)) > threshold
    hint = xdog(picture, threshold)
    assert expected.any()
    assert not expected.all()
    assert np.array_equal(hint[:, :, 0] == 255, expected)
    assert set(np.unique(hint)) == {0, 255}


def test_the_least_threshold_draws_no_rounding() -> None:
    """88 of the 256 levels gave a white hint for a flat picture."""
    for level in range(256):
        assert not xdog(np.full((64, 64, 3), level, np.uint8), 1).any(), level
    picture = _photo(1)
    assert np.array_equal(xdog(picture, 1)[..., 0] == 255, _difference(picture) > 0.5)


def test_a_broad_black_line_has_no_hole() -> None:
    """In six black columns the difference passes 128: twice that is 0 again as a byte."""
    picture = np.full((40, 40, 3), 255, np.uint8)
    picture[:, 17:23] = 0
    steps = np.ceil(_difference(picture).clip(0, 255)).astype(np.uint8)
    as_bytes = steps * np.uint8(2) > 32
    assert not as_bytes[:, 17:23].all(), "the original's bytes must run over here"
    assert (xdog(picture)[:, 17:23] == 255).all()


def test_xdog_draws_dark_on_light_and_nothing_else() -> None:
    ground = np.full((40, 40, 3), 255, np.uint8)
    assert not xdog(ground).any()
    dark, light = ground.copy(), 255 - ground
    dark[:, 20], light[:, 20] = 0, 255
    assert xdog(dark)[:, 20].all()
    assert not xdog(light)[:, 20].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (96, 128), (131, 77)])
def test_soft_edges_become_the_scribble_of_controlnet_aux(aux: Any, size: tuple[int, int]) -> None:
    for seed in range(3):
        edges = np.ascontiguousarray(_photo(seed, *size)[:, :, 0])
        expected = cv2.GaussianBlur(aux.nms(edges, 127, 3.0), (0, 0), 3.0).reshape(size)
        assert np.array_equal(from_edges(edges), np.where(expected > 4, 255, 0))


def test_a_soft_edge_becomes_one_broad_line_where_it_is() -> None:
    """Its half above 127 is kept; a blur of 3 pixels falls below 5 of 255 6.3 pixels outside."""
    edges = np.zeros((40, 60), np.uint8)
    edges[:, 15:26] = 255  # around column 20
    drawn = from_edges(edges)
    assert np.flatnonzero(drawn.any(axis=0)).tolist() == list(range(15 - 6, 26 + 6))
    assert set(np.unique(drawn)) == {0, 255}


def test_a_weak_edge_is_left_out() -> None:
    assert not from_edges(np.full((20, 20), 126, np.uint8)).any()


@pytest.mark.parametrize(
    ("steps", "edges", "expected"),
    [
        (2, [0, 0.33, 0.34, 0.66, 0.67, 0.99, 1], [0, 0, 0.5, 0.5, 1, 1, 1]),
        (1, [0.49, 0.5], [0, 1]),
        (4, [0.19, 0.2, 0.4, 0.6, 0.8], [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_safe_edges_have_few_levels(steps: int, edges: list[float], expected: list[float]) -> None:
    levels = safe_steps(np.array(edges), steps)
    assert levels.dtype == np.float32
    assert levels.tolist() == expected


def test_safe_edges_are_those_of_controlnet_aux(aux: Any) -> None:
    edges = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    assert np.array_equal(safe_steps(edges), aux.safe_step(edges))


@pytest.mark.parametrize("run", [scribble, xdog])
def test_a_hint_has_three_equal_channels(run: Callable[[Image], Image]) -> None:
    hint = run(_photo(2))
    assert (hint == hint[:, :, :1]).all()
