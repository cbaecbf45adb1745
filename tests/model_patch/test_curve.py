"""Curves over the run: what they are at a place, and that the engine obeys them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.model_patch.control import Control
from controlstack.model_patch.curve import PRESETS, Curve
from controlstack.model_patch.factors import Factor, Sides, Span, StepSpan
from controlstack.model_patch.mask import Mask
from controlstack.model_patch.patch import patch
from controlstack.model_patch.plan import Plan
from controlstack.model_patch.schedule import Schedule, Window
from tests.model_patch.recording import Numbers, added, numbered, numbers_of
from tests.model_patch.stacks import STEPS, UNET, control, sample
from tests.tiny import tiny_model

SAMPLING = DiscreteSampling.from_betas()


def strengths(factor: Factor, sigmas: list[float]) -> list[float]:
    (row,) = Plan.of((numbered(1.0, also=(factor,)),), Schedule(SAMPLING, tuple(sigmas))).table()
    return list(row)


def at(*percents: float) -> list[float]:
    return [*(SAMPLING.percent_to_sigma(percent) for percent in percents), 0.0]


@pytest.mark.parametrize(
    ("between", "quarter"),
    [("linear", 0.25), ("smooth", 0.15625), ("cosine", 0.146447), ("stepped", 0)],
)
def test_between_two_points(between: Any, quarter: float) -> None:
    curve = Curve(((0.0, 0.0), (1.0, 1.0)), between)
    assert curve.strength(0.25) == pytest.approx(quarter, abs=1e-6)
    assert [curve.strength(place) for place in (-1.0, 0.0, 1.0, 2.0)] == [0.0, 0.0, 1.0, 1.0]


def test_percent_is_the_hosts_own() -> None:
    percents = (0.1, 0.25, 0.5, 0.9)
    made = strengths(Curve(((0.0, 1.0), (1.0, 0.0))), at(*percents))
    assert made == pytest.approx([1 - percent for percent in percents], abs=2e-3)  # of 1000 steps


def test_steps_are_the_samplers_and_between_two_lies_a_fraction() -> None:
    sigmas = [10.0, 8.0, 3.0, 1.0, 0.0]
    curve = Curve(((0.0, 0.0), (4.0, 4.0)), places="steps")
    assert strengths(curve, sigmas) == [0.0, 1.0, 2.0, 3.0]
    ready = curve.on(Schedule(SAMPLING, tuple(sigmas)))
    assert ready.at(5.5) == 1.5
    assert ready.at(11.0) == 0.0


def test_sigma_is_the_noise_level() -> None:
    curve = Curve(((1.0, 1.0), (3.0, 5.0)), places="sigma")
    assert strengths(curve, [3.0, 2.0, 1.0, 0.5, 0.0]) == [5.0, 3.0, 1.0, 1.0]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_curves_over_percent(name: str) -> None:
    made = strengths(Curve(PRESETS[name]), at(0.0001, 0.5, 0.9999))
    expected = [Curve(PRESETS[name]).strength(place) for place in (0.0, 0.5, 1.0)]
    assert made == pytest.approx(expected, abs=3e-3)


def picture(item: Control, **kwargs: Any) -> torch.Tensor:
    return sample(patch(tiny_model(UNET), (item,)), **kwargs)


def test_what_must_change_nothing_and_what_must_equal_something_else() -> None:
    plain = picture(control())
    for factor in (Curve(((0.0, 1.0),)), Sides(), StepSpan(0, STEPS), Mask(torch.ones(1, 64, 64))):
        assert torch.equal(picture(control(also=(factor,))), plain), factor
    half = picture(control(strength=0.5))
    assert torch.equal(picture(control(also=(Curve(((0.0, 0.5),)),))), half)
    assert torch.equal(
        picture(control(also=(Sides(uncond=0.0),)), cfg=1.0), picture(control(), cfg=1.0)
    )
    assert not torch.equal(picture(control(also=(Sides(uncond=0.0),))), plain)
    off = sample(tiny_model(UNET))
    assert torch.equal(picture(control(also=(Curve(((0.0, 0.0),)),))), off)


@pytest.mark.parametrize(
    "pair",
    list(
        itertools.combinations(
            [
                Curve(((0.0, 1.0), (1.0, 0.25))),
                Sides(0.5, 0.25),
                StepSpan(0, 2),
                Span(0.0, 0.9),
                Mask(torch.full((1, 64, 64), 0.5)),
            ],
            2,
        )
    ),
    ids=lambda pair: " x ".join(type(one).__name__ for one in pair),
)
def test_factors_multiply_in_any_order(pair: tuple[Factor, Factor]) -> None:
    options = {"cond_or_uncond": [1, 0], "sample_sigmas": torch.tensor([8.0, 5.0, 2.0, 0.0])}
    both, reversed_, alone = (
        numbers_of(added((numbered(16.0, also=also),), 2, **options))
        for also in (pair, pair[::-1], pair[:1])
    )
    assert both == reversed_
    other = numbers_of(added((numbered(16.0, also=pair[1:]),), 2, **options))
    assert both == pytest.approx([a * b / 16 for a, b in zip(alone, other, strict=True)])


def test_a_net_is_not_run_where_a_curve_is_0() -> None:
    net = Numbers()
    item = numbered(1.0, net=net, also=(Curve(((4.0, 0.0), (6.0, 1.0)), places="sigma"),))
    assert added((item,), 1, sigma=4.0) == {}
    assert net.runs == []
    assert numbers_of(added((item,), 1, sigma=5.0)) == [0.5]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ((), "needs points"),
        (((0.0, 1.0), (0.0, 2.0)), "ascend, and are 0, 0"),
        (((1.0, 1.0), (0.5, 2.0)), "ascend"),
        (((float("nan"), 1.0),), "has to be a number"),
        (((0.0, 11.0),), "at place 0 is 11.*between 0 and 10"),
        (((0.0, float("nan")),), "between 0 and 10"),
    ],
)
def test_bad_curves_are_refused(points: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Curve(points)


def test_a_curve_over_steps_needs_a_schedule() -> None:
    with pytest.raises(UserError, match="schedule"):
        Curve(((0.0, 1.0),), places="steps").on(Schedule(SAMPLING))


@pytest.mark.parametrize("count", [3, 5])
def test_a_list_has_one_strength_for_each_step(count: int) -> None:
    points = tuple((float(step), 1.0) for step in range(count))
    with pytest.raises(UserError, match=f"there are {count} strengths for 4 steps"):
        strengths(Curve(points, "stepped", "steps", listed=True), at(0.0, 0.2, 0.5, 0.9))
    four = (*points[:3], (3.0, 0.5))
    made = Curve(four, "stepped", "steps", listed=True)
    assert strengths(made, at(0.0, 0.2, 0.5, 0.9)) == [1.0, 1.0, 1.0, 0.5]
    ready = made.on(Schedule(SAMPLING, tuple(at(0.5, 0.9)), Window(2, 4)))
    assert [ready.at(sigma) for sigma in at(0.5, 0.9)[:2]] == [1.0, 0.5]


def test_places_beyond_a_run_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred per cent are 1."""
    Curve(((0.0, 1.0), (50.0, 0.0), (100.0, 0.0))).on(Schedule(SAMPLING))
    assert "places beyond 0 to 1, where no run comes to: 50, 100" in caplog.text
    caplog.clear()
    for name in PRESETS:
        Curve(PRESETS[name]).on(Schedule(SAMPLING))
    assert not caplog.text
