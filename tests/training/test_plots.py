"""The curve of a run as a picture, and where the figure rose fastest."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from controlstack.training.events import GAIN, Point, Validation
from controlstack.training.gain import OWN_WINS
from controlstack.training.plots import Rise, draw_curve, moving_mean, steepest

STEPS = list(range(0, 400, 50))
FIDELITY = [0.1, 0.1, 0.12, 0.11, 0.55, 0.6, 0.62, 0.63]


def points(losses: list[float]) -> list[Point]:
    return [Point(10 * n, loss, 1e-5, 4.0, 1.0 * n, 2.0) for n, loss in enumerate(losses)]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_steepest_change() -> None:
    assert steepest(STEPS, FIDELITY) == Rise(150, 200, 0.11, 0.55)
    assert steepest([0, 10, 1000], [0.1, 0.2, 0.5]) == Rise(0, 10, 0.1, 0.2)  # a step, not in all
    assert steepest([0, 10, 20], [0.9, math.nan, 0.1]) == Rise(0, 20, 0.9, 0.1)
    assert steepest([0, 10], [0.5, 0.5]) is None
    assert steepest([5], [0.5]) is None


def test_moving_mean() -> None:
    assert moving_mean([1, 2, 3, 4], 2) == [1, 1.5, 2.5, 3.5]
    assert moving_mean([4.0], 10) == [4.0]


def test_both_curves_and_the_mark_are_drawn() -> None:
    validations = [
        Validation(step, {"edge F1": value, "edge F1 without control": 0.07})
        for step, value in zip(STEPS, FIDELITY, strict=True)
    ]
    with_figure = pixels(draw_curve(points([0.1, 0.05, 0.02] * 40), validations, "A run"))
    without = pixels(draw_curve(points([0.1, 0.05, 0.02] * 40), [], "A run"))
    assert with_figure.shape[0] > 1.5 * without.shape[0]
    orange = np.abs(with_figure - (0xC2, 0x41, 0x0C)).max(axis=2) < 40
    shaded = np.abs(with_figure - (225, 231, 251)).max(axis=2) < 8
    assert orange.sum() > 100
    assert shaded.sum() > 500
    # The band lies where the line climbs: among its columns is the middle of the climb.
    assert np.ptp(np.nonzero(shaded.sum(axis=0) > 50)[0]) < 0.2 * with_figure.shape[1]


def test_the_gain_has_a_plot_of_its_own_alone_or_beneath_the_fidelity() -> None:
    measured = [
        Validation(step, {GAIN: value, OWN_WINS: 0.5 + value / 2})
        for step, value in zip(STEPS, FIDELITY, strict=True)
    ]
    both = [Validation(one.step, {"edge F1": 0.3, **one.figures}) for one in measured]
    heights = [
        pixels(draw_curve(points([0.1, 0.05]), tried, "A run")).shape[0]
        for tried in ([], measured, both)
    ]
    assert heights[1] > 1.5 * heights[0]
    assert heights[2] - heights[1] == pytest.approx(heights[1] - heights[0], abs=2)


def test_a_name_in_letters_that_the_font_lacks(recwarn: pytest.WarningsRecorder) -> None:
    assert pixels(draw_curve(points([0.1, 0.2]), [], "猫")).std() > 0
    assert not recwarn.list


@pytest.mark.parametrize("losses", [[], [0.1], [0.0, 0.0, 1.0], [0.5] * 3])
def test_short_and_flat_runs(losses: list[float]) -> None:
    assert pixels(draw_curve(points(losses), [], "A run")).std() > 0
