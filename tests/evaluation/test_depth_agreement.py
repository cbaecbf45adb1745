"""Depth: what a relative depth does not say does not count, and what it says does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from controlstack.evaluation.depth import aligned_rmse, log_rmse, rank_correlation
from controlstack.ground.errors import UserError

MAPS = arrays(np.float64, (4, 5), elements=st.integers(0, 255).map(lambda step: step / 255))


def _maps(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    wanted = generator.uniform(0.1, 1, (8, 8))
    return np.clip(wanted + generator.normal(0, 0.1, (8, 8)), 0.05, 1), wanted


def test_aligned_rmse_is_the_residual_of_the_best_line() -> None:
    found, wanted = _maps()
    design = np.stack((found.ravel(), np.ones(found.size)), axis=1)
    _, (squares,), _, _ = np.linalg.lstsq(design, wanted.ravel(), rcond=None)
    assert aligned_rmse(found, wanted) == pytest.approx(math.sqrt(squares / found.size))


@given(found=MAPS, wanted=MAPS, scale=st.floats(0.1, 10), shift=st.floats(-2, 2))
def test_scale_and_shift_do_not_count(
    found: np.ndarray, wanted: np.ndarray, scale: float, shift: float
) -> None:
    plain = aligned_rmse(found, wanted)
    assert aligned_rmse(scale * found + shift, wanted) == pytest.approx(plain, abs=1e-6)
    assert plain <= wanted.std() + 1e-9
    assert aligned_rmse(scale * wanted + shift, wanted) == pytest.approx(0, abs=1e-6)


def test_a_depth_turned_inside_out_is_no_better_than_a_flat_one() -> None:
    _, wanted = _maps()
    flat = np.full_like(wanted, 0.5)
    assert aligned_rmse(1 - wanted, wanted) == pytest.approx(wanted.std())
    assert aligned_rmse(flat, wanted) == pytest.approx(wanted.std())
    assert rank_correlation(1 - wanted, wanted) == pytest.approx(-1)


def test_log_rmse_is_eigens() -> None:
    found, wanted = _maps()
    apart = np.log(found) - np.log(wanted)
    eigen = math.sqrt((apart**2).mean() - apart.mean() ** 2)
    assert log_rmse(found, wanted) == pytest.approx(eigen)
    assert log_rmse(1 / found / 100, 1 / wanted / 100) == pytest.approx(eigen)  # as distances
    assert log_rmse(0.3 * wanted, wanted) == pytest.approx(0, abs=1e-9)


def test_the_farthest_point_has_a_logarithm() -> None:
    black, grey = np.zeros((2, 2)), np.full((2, 2), 1 / 255)
    assert log_rmse(black, grey) == 0
    half = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert log_rmse(half, np.ones((2, 2))) == pytest.approx(math.log(255) / 2)


@given(found=MAPS, wanted=MAPS)
def test_rank_correlation_is_spearmans(found: np.ndarray, wanted: np.ndarray) -> None:
    ours = rank_correlation(found, wanted)
    if np.ptp(found) == 0 or np.ptp(wanted) == 0:
        assert math.isnan(ours)
    else:
        ranks = [rankdata(values.ravel()) for values in (found, wanted)]
        assert ours == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-9)
        assert rank_correlation(found**3, wanted) == pytest.approx(ours, abs=1e-9)  # order alone


@pytest.mark.parametrize("figure", [aligned_rmse, log_rmse, rank_correlation])
def test_sizes_must_agree(figure: Callable[..., float]) -> None:
    with pytest.raises(UserError, match="differ in size"):
        figure(np.ones((2, 3)), np.ones((3, 2)))
