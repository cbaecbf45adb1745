"""The plan of a run as data: when each control acts, how strongly, on which sides, at what cost.

`Timeline.of` asks the same `Plan` that the engine obeys. Its picture is made in `timeline_picture`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import named
from ..model_patch.call import CONDITIONAL, Row
from ..model_patch.control import Control, ControlStack
from ..model_patch.curve import Curve
from ..model_patch.factors import Factor, Sides, Span, StepSpan
from ..model_patch.forecast import Refreshing, refreshing
from ..model_patch.frames import FrameStrengths
from ..model_patch.mask import Mask
from ..model_patch.plan import Plan
from ..model_patch.schedule import Schedule
from ..model_patch.speed import EXACT
from .cost import Cost, by_family

VERSION = 1
"""Of the JSON form."""

UNCONDITIONAL = 1
BOTH = (CONDITIONAL, UNCONDITIONAL)
"""The sides of the guidance that a sampler asks for; at CFG 1 it is the first alone."""

_SIDES = {CONDITIONAL: "prompt", UNCONDITIONAL: "negative prompt"}

THUMBNAIL = 128
"""Pixels of a thumbnail's longer edge, at most."""

MAX_PICTURES = 4096
"""The most pictures that are counted, as many as ComfyUI's latents have."""

_FINE, _PLACES = 8, 400
"""Places of the curve within a step, at most, and about how many in a run."""


@dataclass(frozen=True)
class Active:
    """Steps of the sampler from `first` up to, without, `last`, and the percents that hold them."""

    first: int
    last: int
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Picture:
    """A thumbnail, uint8 (h, w, 3) or (h, w), of the first of `count` pictures of a size."""

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    count: int
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Line:
    """One control over one run.

    Args:
        name: the control's.
        settings: what it is made of, in words: its strength, range, mode and further factors.
        enabled: False for a line that is switched off.
        strengths: one a step; 0 where its net is not run.
        curve: the strength at evenly spaced places of the run, as many in each step.
        active: the steps it acts in.
        words: the same for a person, counted both ways.
        silent: why it acts in no step; "" where it does.
        sides: the sides of the guidance that its net runs for.
        rows: their share of all rows that the model is called with.
        cost: of its net.
        run_rows: one a step: for which share of `rows` its net runs; less than 1 in a step where
            residuals are forecast for some (speed).
        hint, mask: what it follows and where; None where there is none to show.
    """

    name: str
    settings: tuple[str, ...]
    enabled: bool
    strengths: tuple[float, ...]
    curve: tuple[float, ...]
    active: tuple[Active, ...]
    words: str
    silent: str
    sides: tuple[str, ...]
    rows: float
    cost: Cost
    run_rows: tuple[float, ...]
    hint: Picture | None
    mask: Picture | None

    @property
    def runs(self) -> int:
        """In how many steps its net runs; a sampler that evaluates twice a step runs it twice."""
        return sum(share > 0.0 for share in self.run_rows)

    @property
    def spent(self) -> float:
        """What its net costs in this run, in runs of the U-Net for all rows."""
        runs = sum(self.run_rows)
        return self.cost.run * self.rows * min(runs, 1.0 if self.cost.once else runs)


@dataclass(frozen=True, eq=False)
class Timeline:
    """All controls of a run.

    Args:
        title: what is sampled, and how.
        schedule: the sampler's, from noise to picture.
        notes: what has been assumed.
    """

    title: str
    schedule: Schedule
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        stack: ControlStack,
        schedule: Schedule,
        title: str = "",
        *,
        costs: Sequence[Cost] = (),
        sides: Sequence[int] = BOTH,
        pictures: int = 0,
        notes: Sequence[str] = (),
    ) -> Timeline:
        """The plan of `stack`; `costs` has one entry a control, where they are known.

        `sides` are those of the guidance that the sampler asks for, `pictures` how many it makes
        (0: not known; as many as keyframes name are taken then).

        Raises:
            UserError: a factor that this schedule does not have, or that does not serve so many
                pictures; names the control.
        """
        for control in stack:
            if control.enabled:
                with named(control.name):
                    for factor in control.factors:
                        factor.require_pictures(pictures)
        pictures = pictures or _named_pictures(stack)
        # A curve over percent asks for the same noise levels again and again.
        known = Schedule(_Remembering(schedule.sampling), schedule.sigmas, schedule.window)
        plan = Plan.of(stack, known)
        table, fine = plan.table(), _fine(plan)
        costs = costs or (by_family(""),) * len(stack)
        rows = [Row(picture, side) for side in sides for picture in range(pictures)]
        lines = tuple(
            _line(
                control,
                plan.factors[i],
                (table[i], fine[i]),
                rows,
                known,
                costs[i],
                None if costs[i].once else refreshing(control, plan, i),
            )
            for i, control in enumerate(stack)
        )
        return cls(title, schedule, lines, tuple(notes))

    def share(self, line: Line) -> float:
        """A net's share of what the whole run costs: the U-Net's runs and those of all nets."""
        whole = self.schedule.steps + sum(one.spent for one in self.lines)
        return line.spent / whole if whole else 0.0

    def json(self) -> dict[str, Any]:
        """The data without pixels; `version` changes where a reader has to know."""
        first = self.schedule.window.before
        return {
            "version": VERSION,
            "title": self.title,
            "steps": {
                "first": first,
                "last": first + self.schedule.steps,
                "total": self.schedule.total,
            },
            "sigmas": list(self.schedule.sigmas),
            "controls": [self._line_json(line) for line in self.lines],
            "notes": list(self.notes),
        }

    def _line_json(self, line: Line) -> dict[str, Any]:
        return {
            "name": line.name,
            "settings": list(line.settings),
            "enabled": line.enabled,
            "strengths": list(line.strengths),
            "active": [vars(one) for one in line.active],
            "words": line.words,
            "silent": line.silent,
            "net": {
                "runs": line.runs,
                "sides": list(line.sides),
                "rows": line.rows,
                "cost": line.cost.run,
                "cost_by": line.cost.source,
                "share": self.share(line),
            },
            "hint": _picture_json(line.hint),
            "mask": _picture_json(line.mask),
        }


def _named_pictures(stack: ControlStack) -> int:
    """As many pictures as the stack's keyframes name, at least one."""
    factors = [factor for control in stack for factor in control.also]
    last = [one.points[-1][0] for one in factors if isinstance(one, FrameStrengths)]
    return 1 + math.ceil(min(max([*last, 0.0]), MAX_PICTURES))


class _Remembering:
    """A sampling that keeps its answers."""

    def __init__(self, sampling: Any) -> None:
        self.percent_to_sigma = cache(sampling.percent_to_sigma)


def _fine(plan: Plan) -> tuple[tuple[float, ...], ...]:
    """One row a control: strengths at evenly spaced places, noise levels between two steps evenly
    spaced too, and at the end of the run."""
    sigmas, steps = plan.schedule.sigmas, plan.schedule.steps
    within = max(1, min(_FINE, _PLACES // max(steps, 1)))
    levels = [a + (b - a) * i / within for a, b in pairwise(sigmas) for i in range(within)]
    columns = [plan.at(level) for level in [*levels, *sigmas[-1:]]]
    return tuple(tuple(column[row] for column in columns) for row in range(len(plan.names)))


def _line(
    control: Control,
    factors: Sequence[Factor],
    strengths: tuple[tuple[float, ...], tuple[float, ...]],
    rows: Sequence[Row],
    schedule: Schedule,
    cost: Cost,
    when: Refreshing | None,
) -> Line:
    running = [row for row in rows if all(factor.of_row(row) for factor in factors)]
    if not running:
        strengths = (0.0,) * len(strengths[0]), (0.0,) * len(strengths[1])
    active = _active(strengths[0], schedule)
    masks = [one.masks for one in (*_own_mask(control), *control.also) if isinstance(one, Mask)]
    return Line(
        name=control.name,
        settings=_settings(control),
        enabled=control.enabled,
        strengths=strengths[0],
        curve=strengths[1],
        active=active,
        words=_words(strengths[0], active, schedule),
        silent="" if active else _why(control, bool(running), schedule),
        sides=tuple(dict.fromkeys(_SIDES[row.side] for row in running)),
        rows=len(running) / len(rows) if rows else 0.0,
        cost=cost,
        run_rows=_run_rows(strengths[0], running, when),
        hint=thumbnail(control.hint.movedim(1, -1)),
        mask=thumbnail(_product(masks)) if masks else None,
    )


def _run_rows(
    strengths: Sequence[float], rows: Sequence[Row], when: Refreshing | None
) -> tuple[float, ...]:
    """For which share of its rows a net runs in each step."""
    if when is None or not rows:
        return tuple(float(strength != 0.0) for strength in strengths)
    prompt = sum(row.side == CONDITIONAL for row in rows) / len(rows)
    share = {"": 0.0, "both": 1.0, "prompt": prompt or 1.0}
    return tuple(share[what] for what in when.table())


def _active(strengths: Sequence[float], schedule: Schedule) -> tuple[Active, ...]:
    spans = schedule.spans([strength != 0.0 for strength in strengths])
    return tuple(Active(first, last, *schedule.percents(first, last)) for first, last in spans)


def _words(strengths: Sequence[float], active: Sequence[Active], schedule: Schedule) -> str:
    """ "steps 0 to 7 of 20 (start 0.000, end 0.312)"."""
    percents = "; ".join(f"start {one.start:.3f}, end {one.end:.3f}" for one in active)
    words = schedule.words([strength != 0.0 for strength in strengths])
    return f"{words} ({percents})" if percents else words


def _why(control: Control, running: bool, schedule: Schedule) -> str:
    if not control.enabled:
        return "it is switched off"
    if control.strength == 0.0:
        return "its strength is 0"
    if control.mask is not None and not control.mask.any():
        return "its mask is black throughout"
    if silent := [factor.words for factor in control.also if factor.silences]:
        return f"{silent[0]}: that is 0 throughout"
    if not running:
        return "it is 0 for every side and picture that is sampled"
    span = control.span
    if isinstance(span, Span) and span.start > span.end:
        return f"its range starts at {span.start:g}, after its end, {span.end:g}"
    if not schedule.steps:
        return "there are no steps"
    ranges = [] if span == Span() else [span.words]
    ranges += [one.words for one in control.also if isinstance(one, (StepSpan, Curve))]
    begin, end = (schedule.percent(schedule.sigmas[i]) for i in (0, -2))
    before = schedule.window.before
    return (
        f"{', '.join(ranges)}: that is none of the steps {before} to {before + schedule.steps}, "
        f"which begin at {begin:.3f} to {end:.3f}"
    )


def _settings(control: Control) -> tuple[str, ...]:
    """All that a control is multiplied by, in words, and what its net is told."""
    span = () if control.span == Span() else (control.span.words,)
    mode = () if control.mode == "balanced" else (f"mode {control.mode}",)
    types = (f"type {', '.join(control.union_types)}",) if control.union_types else ()
    factors = tuple(
        _side_words(one) if isinstance(one, Sides) else one.words
        for one in (*_own_mask(control), *control.also)
    )
    speed = () if control.speed == EXACT else (f"speed {control.speed}",)
    return (f"strength {control.strength:g}", *span, *mode, *types, *factors, *speed)


def _side_words(sides: Sides) -> str:
    if (sides.cond, sides.uncond) in ((1.0, 0.0), (0.0, 1.0)):
        return f"{_SIDES[CONDITIONAL if sides.cond else UNCONDITIONAL]} only"
    return sides.words


def _own_mask(control: Control) -> tuple[Mask, ...]:
    return () if control.mask is None else (Mask(control.mask),)


def _product(masks: Sequence[Tensor]) -> Tensor:
    """The first of each of several masks (N, H, W), multiplied at the first one's size: as many as
    there are of the first, (N, H, W)."""
    first, *others = masks
    size = first.shape[-2:]
    for other in others:
        first = first * F.interpolate(other[None, :1].float(), size, mode="bilinear")[0]
    return first


def thumbnail(pictures: Tensor) -> Picture | None:
    """(N, H, W, 3) or (N, H, W) in 0..1; None for a single pixel, which stands for no picture."""
    height, width = size = (pictures.shape[1], pictures.shape[2])
    if size == (1, 1):
        return None
    factor = min(1.0, THUMBNAIL / max(size))
    small = (max(1, round(height * factor)), max(1, round(width * factor)))
    flat = pictures[:1].float().cpu().reshape(1, height, width, -1).movedim(-1, 1)
    made = F.interpolate(flat, small, mode="area").clamp(0, 1).mul(255).round().to(torch.uint8)
    pixels: np.ndarray[Any, np.dtype[np.uint8]] = made[0].movedim(0, -1).numpy()
    return Picture(pixels[..., 0] if pictures.ndim == 3 else pixels, len(pictures), (width, height))


def _picture_json(picture: Picture | None) -> Mapping[str, Any] | None:
    if picture is None:
        return None
    return {"count": picture.count, "width": picture.size[0], "height": picture.size[1]}
