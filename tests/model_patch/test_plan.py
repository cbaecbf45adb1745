"""Spans against the host's rule, and the plan that the engine obeys."""

from __future__ import annotations

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Span, StepSpan
from controlstack.model_patch.plan import Plan
from controlstack.model_patch.schedule import Schedule, Window

SAMPLING = DiscreteSampling.from_betas()
HINT = torch.zeros(1, 3, 8, 8)


class NoNet:
    """Stands where a plan needs no net at all."""


def control(span: Span | StepSpan, strength: float = 1.0, **kwargs: object) -> Control:
    return Control(net=NoNet(), hint=HINT, strength=strength, span=span, **kwargs)


def sigmas_at(*percents: float) -> list[float]:
    return [SAMPLING.percent_to_sigma(p) for p in percents]


def active(span: Span | StepSpan, sigmas: list[float]) -> list[int]:
    (row,) = Plan.of((control(span),), Schedule(SAMPLING, tuple(sigmas))).table()
    return [step for step, strength in enumerate(row) if strength]


def test_percent_span_is_linear_in_training_timesteps_and_inclusive() -> None:
    sigmas = [*sigmas_at(0.1, 0.25, 0.5, 0.75, 0.9), 0.0]
    assert active(Span(0.25, 0.75), sigmas) == [1, 2, 3]


def test_percent_0_and_1_reach_beyond_the_schedule() -> None:
    beyond = [SAMPLING.sigma_max * 2, SAMPLING.sigma_max, SAMPLING.sigma_min / 2, 0.0]
    assert active(Span(0.0, 1.0), beyond) == [0, 1, 2]
    assert active(Span(0.001, 1.0), beyond) == [2]


class DoublePrecision:
    """ComfyUI's flow models tell the sigma of a percent in Python's own floats."""

    def percent_to_sigma(self, percent: float) -> float:
        return 1.0 - percent


@pytest.mark.parametrize(("span", "steps"), [(Span(0.3, 1.0), [1]), (Span(0.0, 0.3), [0, 1])])
def test_a_step_on_the_edge_is_in_the_span_in_single_precision(
    span: Span, steps: list[int]
) -> None:
    sigmas = torch.tensor([1.0, 1 - 0.3, 0.0]).tolist()
    assert sigmas[1] != 1 - 0.3, "nothing is rounded, nothing is tested"
    (row,) = Plan.of((control(span),), Schedule(DoublePrecision(), tuple(sigmas))).table()
    assert [step for step, strength in enumerate(row) if strength] == steps


def test_start_after_end_covers_nothing() -> None:
    assert active(Span(0.8, 0.2), [*sigmas_at(0.1, 0.5, 0.9), 0.0]) == []


@pytest.mark.parametrize(
    ("first", "last", "steps"),
    [(0, 20, range(20)), (0, 1, [0]), (3, 7, [3, 4, 5, 6]), (19, 20, [19]), (5, 5, []),
     (18, 99, [18, 19])],
)  # fmt: skip
@pytest.mark.parametrize("shape", ["karras", "linear"])
def test_step_span_counts_steps_on_every_schedule(
    first: int, last: int, steps: range | list[int], shape: str
) -> None:
    ramp = torch.linspace(1, 0, 20, dtype=torch.float64)
    curve = (0.3 + 2.1 * ramp) ** 7 if shape == "karras" else 0.03 + 14 * ramp
    assert active(StepSpan(first, last), [*curve.tolist(), 0.0]) == list(steps)


def test_plan_gives_each_control_its_own_strength_and_0_outside() -> None:
    stack = (control(Span(0, 0.5), 0.7), control(StepSpan(1, 3), 1.5), control(Span(), 0.0))
    sigmas = [*sigmas_at(0.0001, 0.4, 0.9), 0.0]
    assert Plan.of(stack, Schedule(SAMPLING, tuple(sigmas))).table() == (
        (0.7, 0.7, 0.0),
        (0.0, 1.5, 1.5),
        (0.0, 0.0, 0.0),
    )


def test_an_all_zero_mask_is_strength_0() -> None:
    masked = control(Span(), mask=torch.zeros(1, 4, 4))
    assert Plan.of((masked,), Schedule(SAMPLING, (1.0, 0.0))).table() == ((0.0,),)


def test_exact_steps_without_a_schedule_are_refused() -> None:
    with pytest.raises(UserError, match="schedule"):
        Plan.of((control(StepSpan(0, 2)),), Schedule(SAMPLING))


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_percents_outside_0_to_1_are_refused(bad: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        Span(0.0, bad)
    with pytest.raises(UserError, match="between 0 and 1"):
        Span(bad, 1.0)


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (5, 4)])
def test_backward_step_ranges_are_refused(first: int, last: int) -> None:
    with pytest.raises(UserError, match="no range"):
        StepSpan(first, last)


def test_steps_outside_of_the_schedule_are_refused_with_the_schedule() -> None:
    with pytest.raises(UserError, match=r"control: the steps 3 to 5 .* has 3 steps.* 8 down"):
        active(StepSpan(3, 5), [8.0, 4.0, 2.0, 0.0])


LEVELS = (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0)


@pytest.mark.parametrize("cut", range(1, 9))
def test_steps_count_over_the_windows_of_a_sampler_and_over_a_split_schedule(cut: int) -> None:
    whole = active(StepSpan(2, 6), list(LEVELS))
    for told in (True, False):
        found: list[int] = []
        for first, levels in ((0, LEVELS[: cut + 1]), (cut, LEVELS[cut:])):
            span = StepSpan(2, 6) if told else StepSpan(2, 6, LEVELS)
            window = Window(first, len(LEVELS) - 1) if told else Window()
            (row,) = Plan.of((control(span),), Schedule(SAMPLING, levels, window)).table()
            found += [step + first for step, strength in enumerate(row) if strength]
        assert found == whole == [2, 3, 4, 5]


def test_words_and_percents_of_steps() -> None:
    schedule = Schedule(SAMPLING, (*sigmas_at(0.0001, 0.2, 0.4, 0.6, 0.8), 0.0), Window(3, 12))
    steps = StepSpan(4, 6)
    plan = Plan.of((control(steps), control(Span(0.9, 1.0)), control(Span())), schedule)
    words = [schedule.words([strength != 0.0 for strength in row]) for row in plan.table()]
    assert words == ["steps 4 to 6 of 12", "no step", "steps 3 to 8 of 12"]
    start, end = schedule.percents(4, 6)
    assert Plan.of((control(Span(start, end)),), schedule).table() == plan.table()[:1]
    assert schedule.percents(3, 8) == (0.0, 1.0)
    assert schedule.words([True, False, True, True, False]) == "steps 3 to 4, 5 to 7 of 12"


@pytest.mark.parametrize("strength", [-0.01, 10.01, float("nan"), float("inf")])
def test_strength_outside_0_to_10_is_refused(strength: float) -> None:
    with pytest.raises(UserError, match="between 0 and 10"):
        control(Span(), strength)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 2, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)])
def test_a_hint_that_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="three channels"):
        Control(net=NoNet(), hint=torch.zeros(shape))


def test_unknown_mode_names_the_choices() -> None:
    with pytest.raises(UserError, match="balanced or cfg_rw"):
        control(Span(), mode="more_prompt")
