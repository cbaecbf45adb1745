"""The plan as data: words, runs, sides, costs; and the same runs in a real one."""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from typing import Any

import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from controlstack.headless.sampling.schedules import schedule
from controlstack.inspection.cost import Cost, by_family, costs_of
from controlstack.inspection.timeline import VERSION, Line, Timeline
from controlstack.inspection.timeline_picture import draw
from controlstack.model_patch.blocks import Blocks
from controlstack.model_patch.call import Call
from controlstack.model_patch.control import Control
from controlstack.model_patch.curve import PRESETS, Curve
from controlstack.model_patch.factors import Factor, Sides, Span, StepSpan
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.mask import Mask
from controlstack.model_patch.patch import patch
from controlstack.model_patch.schedule import Schedule, Window
from controlstack.model_patch.source import OfNet
from tests.model_patch import stacks
from tests.tiny import tiny_model

SAMPLING = DiscreteSampling.from_betas()
SIGMAS = tuple(schedule("normal", SAMPLING, 20).tolist())
WHOLE = Schedule(SAMPLING, SIGMAS)
LEFT = torch.cat([torch.ones(1, 8, 4), torch.zeros(1, 8, 4)], dim=2)


def control(*factors: Factor, **kwargs: Any) -> Control:
    net: Any = object()
    kwargs.setdefault("hint", torch.rand(1, 3, 16, 24))
    return Control(net=net, also=factors, **kwargs)


def line(*factors: Factor, schedule: Schedule = WHOLE, asked: Any = None, **kwargs: Any) -> Line:
    return Timeline.of((control(*factors, **kwargs),), schedule, **(asked or {})).lines[0]


def test_steps_are_counted_both_ways() -> None:
    steps = line(StepSpan(0, 7))
    assert (steps.runs, steps.active[0].first, steps.active[0].last) == (7, 0, 7)
    percents = (steps.active[0].start, steps.active[0].end)
    assert steps.words == f"steps 0 to 7 of 20 (start 0.000, end {percents[1]:.3f})"
    assert line(span=Span(*percents)).strengths == steps.strengths
    assert steps.strengths == (1.0,) * 7 + (0.0,) * 13


def test_several_spans_have_percents_each() -> None:
    pulses = Curve(((0.0, 0.0), (3.0, 1.0), (5.0, 0.0), (9.0, 2.0)), "stepped", "steps")
    found = line(pulses, strength=0.5)
    assert [(one.first, one.last) for one in found.active] == [(3, 5), (9, 20)]
    assert found.words.startswith("steps 3 to 5, 9 to 20 of 20 (start 0.")
    assert found.words.endswith(", end 1.000)")
    assert found.strengths == (0.0,) * 3 + (0.5,) * 2 + (0.0,) * 4 + (1.0,) * 11


def test_the_curve_goes_on_between_steps() -> None:
    fade = Curve(PRESETS["fade out"])
    found = line(fade)
    within = (len(found.curve) - 1) // 20
    assert within > 1
    assert found.curve[:-1:within] == found.strengths
    middle = (SIGMAS[4] + SIGMAS[5]) / 2
    expected = fade.strength(WHOLE.percent(middle))
    assert found.curve[4 * within + within // 2] == pytest.approx(expected)
    assert line(StepSpan(3, 5)).curve == tuple(
        float(3 * within <= i < 5 * within) for i in range(20 * within + 1)
    )


@pytest.mark.parametrize("name", ["cfg_rw", "control is more important"])
def test_one_side_is_half_of_the_rows(name: str) -> None:
    both, one = line(), line(mode=name)
    assert (both.sides, both.rows) == (("prompt", "negative prompt"), 1.0)
    assert (one.sides, one.rows, one.runs) == (("prompt",), 0.5, 20)
    assert one.spent == both.spent / 2
    # At CFG 1 nothing else is sampled.
    alone = line(mode=name, asked={"sides": (0,)})
    assert (alone.rows, alone.sides) == (1.0, ("prompt",))
    silent = line(Sides(0.0, 1.0), asked={"sides": (0,)})
    assert silent.runs == 0
    assert silent.silent == "it is 0 for every side and picture that is sampled"


def test_pictures_at_0_cost_no_rows() -> None:
    frames = FrameStrengths(((0.0, 1.0), (1.0, 0.0)))
    assert line(frames, asked={"pictures": 4}).rows == 0.25


def test_as_many_pictures_as_keyframes_name_where_nobody_says_how_many() -> None:
    late = FrameStrengths(((0.0, 0.0), (3.0, 1.0)))
    assert (line(late).runs, line(late).rows) == (20, 0.25)
    assert line(late, asked={"pictures": 1}).runs == 0
    assert line(FrameStrengths(((0.0, 1.0), (1e300, 1.0)))).rows == 1.0
    with pytest.raises(UserError, match="control: there are 1 strengths for 2 pictures"):
        line(FrameStrengths(((0.0, 1.0),), listed=True), asked={"pictures": 2})


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (control(enabled=False), "it is switched off"),
        (control(strength=0.0), "its strength is 0"),
        (control(mask=torch.zeros(1, 4, 4)), "its mask is black throughout"),
        (control(Curve(((0.0, 0.0),))), "curve of 1 points over percent, linear: that is 0 "),
        (control(span=Span(0.7, 0.3)), "its range starts at 0.7, after its end, 0.3"),
        (control(StepSpan(3, 3)), "steps 3 to 3: that is 0 throughout"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_why_a_control_does_nothing(made: Control, why: str) -> None:
    (found,) = Timeline.of((made,), WHOLE).lines
    assert (found.words, found.runs, found.spent) == ("no step", 0, 0.0)
    assert found.silent.startswith(why)
    assert found.enabled == made.enabled


def test_a_run_that_begins_after_a_range_says_so() -> None:
    """denoise below 1."""
    end = schedule("normal", SAMPLING, 5, 0.4)
    found = line(span=Span(0.0, 0.5), schedule=Schedule(SAMPLING, tuple(end.tolist())))
    assert found.silent.startswith("range 0 to 0.5: that is none of the steps 0 to 5, which begin")
    assert WHOLE.percent(float(end[0])) > 0.5


def test_windows_of_a_sampler_count_all_steps() -> None:
    made = control(StepSpan(4, 14))
    parts = [
        Timeline.of((made,), Schedule(SAMPLING, SIGMAS[:11], Window(0, 20))),
        Timeline.of((made,), Schedule(SAMPLING, SIGMAS[10:], Window(10, 20))),
    ]
    first, second = (part.lines[0] for part in parts)
    assert first.words.startswith("steps 4 to 10 of 20 (")
    assert second.words.startswith("steps 10 to 14 of 20 (")
    (whole,) = Timeline.of((made,), WHOLE).lines
    assert (*first.strengths, *second.strengths) == whole.strengths
    assert parts[1].json()["steps"] == {"first": 10, "last": 20, "total": 20}


def test_settings_in_words() -> None:
    masked = Mask(LEFT, span=Span(0.0, 0.4), blocks=("first half",))
    factors = (StepSpan(2, 9), Sides(1.0, 0.0), Blocks((("middle", 0.5),)), masked)
    found = line(*factors, strength=0.8, span=Span(0.1, 0.9), mask=LEFT, mode="cfg_rw")
    assert found.settings == (
        *("strength 0.8", "range 0.1 to 0.9", "mode cfg_rw", "mask", "steps 2 to 9"),
        *("prompt only", "blocks middle:0.5", "mask in range 0 to 0.4 at first half"),
    )
    assert line().settings == ("strength 1",)


def test_thumbnails() -> None:
    hint = torch.zeros(5, 3, 300, 600)
    hint[0, 0] = 1.0
    half = torch.full((1, 4, 4), 0.5)
    found = line(Mask(half), mask=LEFT, hint=hint)
    assert found.hint is not None
    assert found.mask is not None
    assert (found.hint.count, found.hint.size, found.hint.pixels.shape) == (
        5,
        (600, 300),
        (64, 128, 3),
    )
    assert found.hint.pixels[0, 0].tolist() == [255, 0, 0]
    assert found.mask.pixels.shape == (8, 8)
    assert found.mask.pixels[0].tolist() == [128] * 4 + [0] * 4
    assert line(hint=torch.zeros(1, 3, 1, 1)).hint is None


def test_costs() -> None:
    free = Timeline.of(
        (control(), control(StepSpan(0, 10))), WHOLE, costs=[Cost(0.5, "weights")] * 2
    )
    assert [free.share(one) for one in free.lines] == [10 / 35, 5 / 35]
    once = Timeline.of((control(),), WHOLE, costs=[Cost(0.5, "weights", once=True)])
    assert once.lines[0].spent == 0.5
    assert by_family("SDXL") == Cost(0.45, "family")
    assert line().cost == by_family("Stable Diffusion 1.x")


def test_costs_by_weights_where_both_are_loaded() -> None:
    made = stacks.control(1)
    (cost,) = costs_of((made,), tiny_model(stacks.UNET).model)
    net: Any = made.net
    count = [sum(p.numel() for p in one.parameters()) for one in (net.control_model, stacks.UNET)]
    assert cost == Cost(count[0] / count[1], "weights")
    assert costs_of((control(enabled=False),), tiny_model(stacks.UNET).model)[0].source == "family"


def test_json_is_plain_and_has_a_version() -> None:
    made = Timeline.of(
        (control(mask=LEFT), control(enabled=False)), WHOLE, "a title", notes=["one"]
    )
    data = json.loads(json.dumps(made.json(), allow_nan=False))
    assert data == made.json()
    assert (data["version"], data["title"], data["notes"]) == (VERSION, "a title", ["one"])
    assert data["sigmas"] == list(SIGMAS)
    first, second = data["controls"]
    assert first["active"] == [{"first": 0, "last": 20, "start": 0.0, "end": 1.0}]
    assert first["net"]["runs"] == 20
    assert first["hint"] == {"count": 1, "width": 24, "height": 16}
    assert (second["enabled"], second["active"], second["net"]["share"]) == (False, [], 0.0)


def test_a_factor_that_the_schedule_lacks_names_the_control() -> None:
    with pytest.raises(UserError, match=r"^pose: the steps 30 to 40 lie outside"):
        line(StepSpan(30, 40), name="pose")


FACTORS: dict[str, tuple[tuple[Factor, ...], dict[str, Any]]] = {
    "steps": ((StepSpan(1, 3),), {}),
    "percents": ((), {"span": Span(0.3, 0.8)}),
    "a curve with zeros": ((Curve(((0.0, 1.0), (1.0, 0.0), (3.0, 2.0)), "stepped", "steps"),), {}),
    "one side": ((Sides(0.0, 1.0),), {}),
    "a mode": ((StepSpan(2, 4),), {"mode": "cfg_rw"}),
    "frames": ((FrameStrengths(((0.0, 0.0), (1.0, 1.0))),), {}),
    "off": ((), {"enabled": False}),
}


@pytest.mark.parametrize("window", [None, (0, 2), (2, 4)], ids=["whole", "begin", "end"])
def test_a_real_run_runs_the_nets_as_planned(
    monkeypatch: pytest.MonkeyPatch, window: tuple[int, int] | None
) -> None:
    """Each net, each step, each row."""
    counted: Counter[tuple[str, float, int]] = Counter()
    real = OfNet.__call__

    def counting(self: OfNet, call: Call, strength: float) -> Any:
        counted[self._control.name, call.sigma, len(call.rows)] += 1
        return real(self, call, strength)

    monkeypatch.setattr(OfNet, "__call__", counting)
    net, hint, steps, pictures = stacks.net(), stacks.hint(), stacks.STEPS, 2
    stack = tuple(
        Control(net=net, hint=hint, name=name, also=factors, **kwargs)
        for name, (factors, kwargs) in FACTORS.items()
    )
    first, last = window or (0, steps)
    part = Window(first, steps) if window else Window()
    model = patch(tiny_model(stacks.UNET), stack, window=lambda: part)
    ksample(
        *(model, 7, steps, 5.0, "euler", "normal", stacks.POSITIVE, stacks.NEGATIVE),
        {"samples": torch.zeros(pictures, 4, 8, 8)},
        start_step=first,
        last_step=last,
    )
    levels = schedule("normal", SAMPLING, steps).tolist()[first : last + 1]
    plan = Timeline.of(stack, Schedule(SAMPLING, tuple(levels), part), pictures=pictures)
    planned = {
        (one.name, level, round(one.rows * 2 * pictures))
        for one in plan.lines
        for strength, level in zip(one.strengths, levels, strict=False)
        if strength != 0.0
    }
    assert planned
    assert set(counted) == planned
    assert set(counted.values()) == {1}


def test_hints_are_in_the_picture() -> None:
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1.0
    counts = []
    for hint in (red, torch.zeros(1, 3, 8, 8)):
        with Image.open(io.BytesIO(draw([Timeline.of((control(hint=hint),), WHOLE)]))) as picture:
            colours = picture.convert("RGB").getcolors(2**24)
        assert colours is not None
        counts.append(sum(count for count, colour in colours if colour == (255, 0, 0)))
    assert counts[0] > 80 * 80
    assert counts[1] == 0


def test_pictures_of_none_to_eight_controls_and_any_letters() -> None:
    """They are looked at by people; here they have to be drawn, without a warning, and grow."""
    odd = control(FrameStrengths(((0.0, 1.0), (8.0, 0.0))), name="深度 $x_1$ \x1b[31m" + "y" * 200)
    many = (odd, *(control(mask=LEFT, strength=i + 0.5) for i in range(7)))
    heights = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in (0, 1, 8):
            made = Timeline.of(many[:count], WHOLE, "t" * 300, notes=["n " * 100])
            with Image.open(io.BytesIO(draw([made]))) as picture:
                heights.append(picture.height)
        part = Schedule(SAMPLING, SIGMAS[10:12], Window(10, 20))
        with Image.open(io.BytesIO(draw([Timeline.of(many[:1], part)] * 2))) as picture:
            heights.append(picture.height)
    assert heights == sorted(set(heights[:3])) + heights[3:]
    assert heights[3] > heights[1]


@pytest.mark.parametrize("speed", ["exact", "near exact", "fast"])
def test_a_plan_counts_the_rows_that_a_real_run_runs(
    speed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two controls, the second of which begins late."""
    span = StepSpan(4, 20)
    stack = (stacks.control(1, speed=speed), stacks.control(2, span=span, speed=speed))
    model = patch(tiny_model(stacks.UNET), stack)
    plain, rows = OfNet.__call__, Counter[str]()
    steps: Counter[str] = Counter()

    def counted(self: OfNet, call: Call, strength: float) -> Any:
        rows[self._control.name] += len(call.rows)
        steps[self._control.name] += 1
        return plain(self, call, strength)

    monkeypatch.setattr(OfNet, "__call__", counted)
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    ksample(model, 7, 20, 5.0, "euler", "normal", stacks.POSITIVE, stacks.NEGATIVE, latent)
    found = Timeline.of(stack, WHOLE)
    for planned in found.lines:
        assert planned.runs == steps[planned.name]
        assert sum(planned.run_rows) * 2 == rows[planned.name]
        assert planned.spent == pytest.approx(planned.cost.run * rows[planned.name] / 2)
    expected = {"exact": (20, 16), "near exact": (6, 6), "fast": (4, 4)}
    assert tuple(planned.runs for planned in found.lines) == expected[speed]
    said = [f"speed {speed}" in planned.settings for planned in found.lines]
    assert said == [speed != "exact"] * 2
    assert found.json()["controls"][0]["net"]["runs"] == expected[speed][0]
