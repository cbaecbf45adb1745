"""Near-exact control: when nets run, and what is forecast in between, by number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch import run
from controlstack.model_patch.call import Call
from controlstack.model_patch.conditioning import apply_to_conditioning
from controlstack.model_patch.control import Control
from controlstack.model_patch.curve import Curve
from controlstack.model_patch.factors import Sides, Span
from controlstack.model_patch.forecast import FARTHEST, FEWEST_STEPS, Forecast, refreshing
from controlstack.model_patch.patch import patch
from controlstack.model_patch.plan import Plan
from controlstack.model_patch.schedule import Schedule
from controlstack.model_patch.source import OfNet
from controlstack.model_patch.speed import EXACT, SPEEDS
from tests.model_patch import stacks
from tests.model_patch.recording import BASE, Numbers, numbered, running
from tests.tiny import tiny_model

STEPS = 20
SIGMAS = [10.0 * (1 - step / STEPS) for step in range(STEPS + 1)]
"""Even in the percents of the recording's model, so that step 5 of 20 begins at percent 0.25."""

BOTH: dict[str, Any] = {"cond_or_uncond": [0, 1], "uuids": ["prompt", "negative"]}


class Moving(Numbers):
    """Residuals that move with the noise level; the second half of a batch has `away` more."""

    def __init__(self, of: Callable[[float], float], away: float = 0.0) -> None:
        super().__init__()
        self.of, self.away, self.told = of, away, list[float]()

    def copy(self) -> Moving:
        made = Moving(self.of, self.away)
        made.runs, made.told = self.runs, self.told
        return made

    def get_control(self, x: Tensor, t: Tensor, cond: Any, repeats: int, options: Any) -> Any:
        self.runs.append(len(x))
        self.told.append(float(t[0]))
        sides = [side for side in options["cond_or_uncond"] for _ in range(len(x) // repeats)]
        values = [self.of(float(t[0])) + self.away * (side != 0) for side in sides]
        made = torch.tensor(values)[:, None, None, None].expand(-1, 4, 8, 8).clone()
        return {"input": [], "middle": [made * self.strength], "output": [2 * made * self.strength]}


def moving(net: Moving, speed: str = "fast", **kwargs: Any) -> Control:
    return numbered(0.0, net=net, speed=speed, **kwargs)


def sampled(
    stack: tuple[Control, ...],
    sigmas: Sequence[float] = SIGMAS[:-1],
    rows: int = 2,
    levels: Sequence[float] = SIGMAS,
    **options: Any,
) -> list[list[float]]:
    """What the middle of each call is given, a number a row."""
    given = {**BOTH, "sample_sigmas": torch.tensor(levels), **options}
    with running(stack) as call:
        made = [call(rows, sigma=sigma, **given) for sigma in sigmas]
    return [one["middle"][0][:, 0, 0, 0].tolist() if one else [] for one in made]


def steps_of(net: Moving) -> list[int]:
    return [round((1 - sigma / 10.0) * STEPS) for sigma in net.told]


def test_a_fast_net_runs_in_four_of_twenty_steps_and_for_both_sides_in_two() -> None:
    net = Moving(lambda _: 1.0)
    sampled((moving(net),))
    assert steps_of(net) == [0, 5, 12, 18]
    assert net.runs == [2, 1, 2, 1]


def test_the_second_control_runs_for_fewer_rows() -> None:
    first, second = Moving(lambda _: 1.0), Moving(lambda _: 1.0)
    sampled((moving(first), moving(second)))
    assert (sum(first.runs), sum(second.runs)) == (6, 5)


def test_an_exact_net_runs_at_every_call_without_anything_between() -> None:
    net = Moving(lambda _: 1.0)
    sampled((moving(net, EXACT),))
    assert net.runs == [2] * STEPS
    sources = run.DeviceRun((moving(net, EXACT),), BASE, {}, run.WHOLE).sources
    assert [type(source) for source in sources.values()] == [OfNet]


def line(sigma: float) -> float:
    """Where residuals go on along: atan of half the noise level."""
    return math.atan(sigma / 2)


def test_a_forecast_of_what_goes_along_the_line_is_right() -> None:
    """Up to the second refresh the first one holds; then every step is right as far as a forecast
    goes, once the distance of the two refreshes. The negative side keeps its distance."""
    net = Moving(lambda sigma: 3.0 - 2.0 * line(sigma), away=0.5)
    made = sampled((moving(net),))
    refreshed = [0, 5, 12, 18]
    assert made[:5] == [pytest.approx([3.0 - 2.0 * line(10.0), 3.5 - 2.0 * line(10.0)])] * 5
    beyond = []
    for step in range(5, STEPS):
        before, last = [one for one in refreshed if one <= step][-2:]
        at, way = line(SIGMAS[last]), line(SIGMAS[last]) - line(SIGMAS[before])
        if (line(SIGMAS[step]) - at) / way > FARTHEST:
            beyond.append(step)
            true = 3.0 - 2.0 * (at + FARTHEST * way)
        else:
            true = 3.0 - 2.0 * line(SIGMAS[step])
        assert made[step] == pytest.approx([true, true + 0.5], abs=1e-5), step
    assert 6 <= len(beyond) + 4 <= 12  # both cases are there


def test_strength_and_factors_stay_exact_between_refreshes() -> None:
    curve = Curve(((0.0, 1.0), (1.0, 0.25)))
    net = Moving(lambda _: 2.0)
    made = sampled((moving(net, strength=0.5, also=(curve, Sides(1.0, 0.5))),))
    assert net.runs == [2, 1, 2, 1]
    for step, (prompt, negative) in enumerate(made):
        strength = 0.5 * (1.0 - 0.75 * step / STEPS)
        assert (prompt, negative) == pytest.approx((2 * strength, strength), abs=1e-4)


def test_a_range_is_refreshed_where_it_begins_and_by_its_own_length() -> None:
    net = Moving(lambda _: 1.0)
    made = sampled((moving(net, span=Span(0.3, 0.8)),))
    assert steps_of(net)[0] == 6
    assert len(net.runs) == 4
    assert [bool(one) for one in made] == [6 <= step <= 16 for step in range(STEPS)]


def test_one_side_alone_is_run_at_every_refresh() -> None:
    net = Moving(lambda _: 1.0)
    sampled((moving(net, also=(Sides(1.0, 0.0),)),))
    assert net.runs == [1] * 4
    separate = Moving(lambda _: 1.0)  # the host calls the sides one after another
    given = {"sample_sigmas": torch.tensor(SIGMAS)}
    with running((moving(separate),)) as call:
        for sigma in SIGMAS[:-1]:
            call(1, sigma=sigma, cond_or_uncond=[0], uuids=["prompt"], **given)
            call(1, sigma=sigma, cond_or_uncond=[1], uuids=["negative"], **given)
    assert separate.runs == [1] * 8


def test_two_evaluations_a_step_are_one_refresh() -> None:
    """As heun's, which evaluates at the end of a step and again where the next begins."""
    net = Moving(lambda _: 1.0)
    sampled((moving(net),), [sigma for sigma in SIGMAS[:-1] for _ in range(2)][1:])
    assert net.runs == [2, 1, 2, 1]


def test_noise_put_back_in_begins_anew() -> None:
    net = Moving(lambda sigma: sigma, away=1.0)
    made = sampled((moving(net),), [*SIGMAS[:8], SIGMAS[3], SIGMAS[4]])
    assert steps_of(net) == [0, 5, 3]
    assert made[-2] == pytest.approx([SIGMAS[3], SIGMAS[3] + 1.0])
    assert made[-1] == made[-2]


@pytest.mark.parametrize(
    "changed",
    [
        {"context_window": SimpleNamespace(index_list=[2, 3], dim=0)},
        {"uuids": ["another", "negative"]},
        {"cond_or_uncond": [1, 0], "uuids": ["negative", "prompt"]},
        {"latent": torch.zeros(4, 4, 8, 16)},
    ],
    ids=["window", "prompt", "order", "shape"],
)
def test_what_belongs_to_other_rows_is_never_used(changed: dict[str, Any]) -> None:
    """Both kinds of call are refreshed by themselves."""
    net = Moving(lambda _: 1.0)
    first: dict[str, Any] = {"latent": torch.zeros(4, 4, 8, 8)}
    given = {**BOTH, "sample_sigmas": torch.tensor(SIGMAS)}
    with running((moving(net),)) as call:
        for sigma in SIGMAS[:8]:
            call(4, sigma=sigma, **{**given, **first})
            if sigma <= SIGMAS[2] and "latent" not in changed:
                call(4, sigma=sigma, **{**given, **first, **changed})
    shared = "latent" in changed  # sizes that the host does not announce are refused
    assert steps_of(net) == ([0, 5] if shared else [0, 2, 5, 5])


def test_another_order_of_sides_gives_each_its_own() -> None:
    net = Moving(lambda _: 1.0, away=0.5)
    made = sampled((moving(net),), cond_or_uncond=[1, 0], uuids=["negative", "prompt"])
    assert made == [pytest.approx([1.5, 1.0])] * STEPS
    assert net.runs == [2, 1, 2, 1]


def test_where_nobody_tells_the_prompts_the_net_runs_at_every_call() -> None:
    net = Moving(lambda _: 1.0)
    sampled((moving(net),), uuids=[])
    assert net.runs == [2] * STEPS


def test_of_more_windows_than_are_kept_the_first_ones_are() -> None:
    net = Moving(lambda _: 1.0)
    given = {"sample_sigmas": torch.tensor(SIGMAS), "cond_or_uncond": [0], "uuids": ["prompt"]}
    with running((moving(net),)) as call:
        for sigma in SIGMAS[:2]:
            for first in range(10):
                window = SimpleNamespace(index_list=[first], dim=0)
                call(1, sigma=sigma, context_window=window, **given)
    assert len(net.runs) == 10 + 2


@pytest.mark.parametrize("speed", list(SPEEDS))
def test_a_short_run_is_exact(speed: str) -> None:
    """To the bit, with the tiny nets in a real run."""
    assert stacks.STEPS < FEWEST_STEPS
    made = stacks.sample(patch(tiny_model(stacks.UNET), (stacks.control(speed=speed),)))
    assert torch.equal(made, stacks.by_core((stacks.control(),)))


@pytest.mark.parametrize("on", ["model", "prompts"])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2", "euler_ancestral"])
def test_a_real_run_on_a_model_and_on_prompts(on: str, sampler: str) -> None:
    """The nets run seldom, whatever the sampler, and the pictures stay near the exact ones."""

    def made(speed: str) -> tuple[Tensor, int]:
        stack = (stacks.control(speed=speed),)
        model, words = tiny_model(stacks.UNET), (stacks.POSITIVE, stacks.NEGATIVE)
        if on == "model":
            model = patch(model, stack)
        else:
            words = apply_to_conditioning(stack, *words)  # type: ignore[assignment]
        plain, rows = OfNet.__call__, []

        def counted(self: OfNet, call: Call, strength: float) -> Any:
            rows.append(len(call.rows))
            return plain(self, call, strength)

        latent = {"samples": torch.zeros(1, 4, 8, 8)}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(OfNet, "__call__", counted)
            picture = ksample(model, 7, STEPS, 5.0, sampler, "normal", *words, latent)
        return picture["samples"], sum(rows)

    (exact, every), (fast, few) = made(EXACT), made("fast")
    evaluations = 2 * STEPS - 1 if sampler in ("heun", "dpm_2") else STEPS
    assert (every, few) == (2 * evaluations, 6)
    assert not torch.equal(exact, fast)
    assert (exact - fast).norm() < 0.1 * exact.norm()


def test_an_adapter_that_runs_once_anyway_is_left_as_it_is() -> None:
    net: Any = Moving(lambda _: 1.0)
    net.t2i_model = object()
    control = moving(net)
    plan = Plan.of((control,), Schedule(BASE.model_sampling, tuple(SIGMAS)))
    assert refreshing(control, plan, 0) is None


def test_the_plan_counts_what_runs() -> None:
    stack = (moving(Moving(lambda _: 1.0)), moving(Moving(lambda _: 1.0)))
    plan = Plan.of(stack, Schedule(BASE.model_sampling, tuple(SIGMAS)))
    when = refreshing(stack[1], plan, 1)
    assert when is not None
    table = when.table()
    assert {step: what for step, what in enumerate(table) if what} == {
        0: "both",
        5: "prompt",
        12: "prompt",
        18: "prompt",
    }


def test_what_is_kept_ends_with_the_run_also_on_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    made: list[Forecast] = []

    class Spied(Forecast):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(run, "Forecast", Spied)
    sampled((moving(Moving(lambda _: 1.0), name="pose"),))
    # 6 of 40 rows
    assert "pose: its net ran for 15 % of the rows" in caplog.text

    def breaks(sigma: float) -> float:
        if sigma < SIGMAS[3]:
            raise RuntimeError("shapes do not fit")
        return 1.0

    with pytest.raises(UserError, match="shapes do not fit"):
        sampled((moving(Moving(breaks)),))
    assert len(made) == 2
    assert not any(one._kept for one in made)


def test_a_speed_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="speed is 'faster'; choose exact or near exact or fast"):
        moving(Moving(lambda _: 1.0), "faster")
