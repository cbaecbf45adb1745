"""Metrics: known pictures, known answers."""

from __future__ import annotations

import numpy as np
import pytest

from controlstack.evaluation.colour import colour_accuracy, colour_name, hue
from controlstack.evaluation.edges import edge_f1, widened
from controlstack.evaluation.joints import body_size, pck
from controlstack.evaluation.silhouette import saturated, silhouette_iou
from controlstack.ground.errors import UserError

COLOURS = {"red": (226, 42, 42), "yellow": (243, 212, 40), "blue": (44, 88, 222)}


def _column(at: int, size: int = 16) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[:, at] = True
    return mask


def test_edges_one_pixel_off_count_and_two_do_not() -> None:
    assert edge_f1(_column(5), _column(5)) == 1
    assert edge_f1(_column(6), _column(5)) == 1
    assert edge_f1(_column(7), _column(5)) == 0
    assert edge_f1(_column(7), _column(5), tolerance=2) == 1


def test_edges_too_many_and_too_few() -> None:
    both = _column(2) | _column(12)
    assert edge_f1(both, _column(2)) == pytest.approx(2 / 3)
    assert edge_f1(_column(2), both) == pytest.approx(2 / 3)
    nothing = np.zeros((16, 16), bool)
    assert edge_f1(nothing, _column(2)) == 0
    assert edge_f1(nothing, nothing) == 1


def test_widening_does_not_wrap_around() -> None:
    corner = np.zeros((4, 4), bool)
    corner[0, 0] = True
    assert np.argwhere(widened(corner, 1)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_sizes_must_agree() -> None:
    with pytest.raises(UserError, match=r"\(16, 16\) and \(8, 8\)"):
        edge_f1(_column(1), _column(1, 8))


def test_silhouette_is_what_is_vivid() -> None:
    rgb = np.full((4, 4, 3), 220, np.uint8)
    rgb[:2] = COLOURS["red"]
    assert saturated(rgb).sum() == 8
    half = np.zeros((4, 4), bool)
    half[0] = True
    assert silhouette_iou(saturated(rgb), half) == 0.5
    assert silhouette_iou(half & False, half & False) == 1


def test_joints_within_a_tenth_of_the_body() -> None:
    wanted = np.array([[0, 0], [0, 80], [30, 40], [np.nan, np.nan]], np.float32)
    assert body_size(wanted) == 80
    found = np.array([[0, 7.9], [0, 88.1], [np.nan, np.nan], [5, 5]], np.float32)
    assert pck(found, wanted, 8.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", COLOURS)
def test_a_colour_in_shade_keeps_its_name(name: str) -> None:
    light = np.linspace(0.5, 1.0, 8)[:, None, None]
    rgb = np.broadcast_to(np.array(COLOURS[name]) * light, (8, 8, 3)).astype(np.uint8)
    assert colour_name(rgb, np.ones((8, 8), bool), COLOURS) == name


def test_reds_on_both_sides_of_zero_degrees_are_red() -> None:
    rgb = np.full((2, 4, 3), (230, 30, 60), np.uint8)
    rgb[0] = (230, 60, 30)
    assert {round(float(h)) for h in hue(rgb).flat} == {351, 9}
    assert colour_name(rgb, np.ones((2, 4), bool), COLOURS) == "red"


def test_grey_has_no_colour_and_counts_as_wrong() -> None:
    rgb = np.full((4, 4, 3), 200, np.uint8)
    rgb[:2] = COLOURS["blue"]
    parts = {"ball": np.arange(4)[:, None].repeat(4, 1) < 2, "box": np.arange(4)[:, None] >= 2}
    parts["box"] = np.broadcast_to(parts["box"], (4, 4)).copy()
    assert colour_name(rgb, parts["box"], COLOURS) is None
    wanted = {"ball": "blue", "box": "red", "hidden": "red"}
    assert colour_accuracy(rgb, parts, wanted, COLOURS) == (1, 2)
