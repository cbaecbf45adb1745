"""Near-exact control: a net runs in few calls of a run, and what it adds is forecast in between.

Residuals change slowly. They are refreshed at shares of the host's percents (`SPEEDS`), and go on
along a line through the last two refreshes. At some refreshes only the prompt's side is run: the
negative prompt's residuals are the prompt's and a difference, which is kept from the last refresh
of both. Everything is at strength 1; strength and factors multiply afterwards, so they stay exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from ..ground.log import log
from .call import CONDITIONAL, Call
from .control import Control
from .patch_net import PatchNet
from .plan import Plan
from .residuals import Place, Residuals
from .source import Source
from .speed import EXACT, SPEEDS, Refreshes

FEWEST_STEPS = 8
"""With fewer steps, as of LCM, Lightning and Turbo models, the net runs at every call: two steps
are too far apart there for a forecast."""

KEPT = 8
"""Kinds of calls (windows, areas) of which residuals are kept at once; of further ones the net runs
at every call, so that memory has an end and those that are kept stay of use."""

FARTHEST = 1.0
"""How far a forecast goes at most, in distances between the two refreshes that it is made of: on
the demo model 1 was as good as 1.5 and 3, and no residual is more than three times the last two."""

HALF = 2.0
"""The noise level that lies half-way along the line: on the demo model 1 was a little better for
deterministic samplers (41.6 dB to 41.0), and much worse for ancestral ones (34.7 dB to 37.3)."""


@dataclass(frozen=True)
class Refreshing:
    """When one control is refreshed in one run.

    Args:
        refreshes: by their shares, from 0 on.
        plan: of the run; `index` is the control's number in it.
    """

    refreshes: Refreshes
    plan: Plan
    index: int
    _marks: dict[float, int] = field(default_factory=dict, compare=False, repr=False)

    def mark(self, sigma: float) -> int:
        """How many refreshes are due at a noise level or before it, at least 1."""
        if sigma not in self._marks:
            schedule = self.plan.schedule
            first, last = self._active()
            length = max(last - first, 1e-9)
            share = (schedule.percent(sigma) - first) / length
            # Percents of a step are known to within the bisection and the float32 of the levels.
            self._marks[sigma] = max(sum(one.share <= share + 1e-3 for one in self.refreshes), 1)
        return self._marks[sigma]

    def both(self, before: int, now: int) -> bool:
        """Whether one of the refreshes from mark `before` to mark `now` is for both sides."""
        return any(one.both for one in self.refreshes[before:now])

    def table(self) -> tuple[str, ...]:
        """What its net does in each step: "both", "prompt" (that side alone), or "" for nothing."""
        made, before = [], 0
        for sigma, strength in zip(
            self.plan.schedule.sigmas[:-1], self.plan.table()[self.index], strict=True
        ):
            now = self.mark(sigma) if strength else before
            what = "both" if self.both(before, now) else "prompt"
            made.append(what if now > before else "")
            before = now
        return tuple(made)

    def _active(self) -> tuple[float, float]:
        """The percents between which the control acts."""
        schedule, strengths = self.plan.schedule, self.plan.table()[self.index]
        steps = [step for step, strength in enumerate(strengths) if strength] or [0]
        ends = schedule.sigmas[steps[0]], schedule.sigmas[steps[-1] + 1]
        return schedule.percent(ends[0]), schedule.percent(ends[1])


def refreshing(control: Control, plan: Plan, index: int) -> Refreshing | None:
    """When the control of this number is refreshed; None where its net runs at every call: it is
    exact, acts inside the model, looks at no latent (a T2I adapter runs once in any case), or the
    schedule is not known or too short."""
    runs_once = getattr(control.net, "t2i_model", None) is not None
    if control.speed == EXACT or isinstance(control.net, PatchNet) or runs_once:
        return None
    if plan.schedule.steps < FEWEST_STEPS:
        return None
    return Refreshing(SPEEDS[control.speed][index % 2], plan, index)


@dataclass
class _Kept:
    """What is known of one kind of call.

    Args:
        points: the last two refreshes: places on the line, and residuals of the prompt's side, or
            of all rows where there is no pair of sides.
        away: what the other side has more, from the last refresh of both.
        mark: as `Refreshing.mark` was at the last refresh.
        sigma: of the last call.
    """

    points: list[tuple[float, Residuals]] = field(default_factory=list)
    away: Residuals | None = None
    mark: int = 0
    sigma: float = math.inf

    def add(self, place: float, residuals: Residuals) -> None:
        """One more refresh."""
        self.points = [*self.points[-1:], (place, residuals)]


class Forecast:
    """A source that wraps another: it runs that one at refreshes and forecasts in between."""

    def __init__(self, source: Source, when: Refreshing, name: str) -> None:
        self._source = source
        self._when = when
        self._name = name
        self._kept: dict[Hashable, _Kept] = {}
        self._rows = self._all_rows = 0

    def __call__(self, call: Call, strength: float) -> Residuals:
        """As `Source` says; raises what the source raises."""
        self._all_rows += len(call.rows)
        kept = self._known(call)
        if kept is None:
            return self._run(call, strength)
        if call.sigma > kept.sigma or not kept.points:  # noise was put back in: from the start
            kept.points, kept.away, kept.mark = [], None, 0
        kept.sigma = call.sigma
        made = self._at_one(call, kept)
        return made if strength == 1.0 else made.map(lambda residual, _: residual * strength)

    def close(self) -> list[Exception]:
        """As `Source` says; tells in the log how much was run."""
        if self._all_rows:
            log.info(
                "%s: its net ran for %.0f %% of the rows, the rest was forecast; the picture "
                "differs a little from that of speed exact",
                *(self._name, 100 * self._rows / self._all_rows),
            )
        self._kept.clear()
        self._all_rows = 0
        return self._source.close()

    def _at_one(self, call: Call, kept: _Kept) -> Residuals:
        """The call's residuals at strength 1, run or forecast; what is run is kept."""
        place, now, pair = _place(call.sigma), self._when.mark(call.sigma), _pair(call)
        if now > kept.mark:
            both = pair is None or kept.away is None or self._when.both(kept.mark, now)
            seen = call if pair is None or both else call.only(pair[0])
            made = self._run(seen, 1.0)
            kept.mark = now
            if pair is None or not both:
                kept.add(place, _copied(made))
            elif _has_all_rows(made, len(call.rows)):
                prompt, other = (_rows(made, rows) for rows in pair)
                kept.add(place, prompt)
                kept.away = _sum(other, prompt, -1.0)
            else:  # one row for all
                kept.add(place, _copied(made))
            if seen is call:
                return made
        prompt = _forecast(kept.points, place)
        if pair is None or kept.away is None:
            return prompt
        return _joined(prompt, _sum(prompt, kept.away), pair)

    def _run(self, call: Call, strength: float) -> Residuals:
        self._rows += len(call.rows)
        return self._source(call, strength)

    def _known(self, call: Call) -> _Kept | None:
        """What is known of calls of the same prompts, rows, areas and shapes; None where nobody
        tells the prompts, or too many kinds of calls are known already."""
        ids = call.options.get("uuids", ())
        if not ids or not all(isinstance(one, Hashable) for one in ids):
            return None
        # No ids of the host's: with the last of them a run on the conditioning ends.
        key = (tuple(map(hash, ids)), call.rows, call.frames, call.x.shape)
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                return None
            self._kept[key] = _Kept()
        return self._kept[key]


_Pair: TypeAlias = tuple[list[int], list[int]]
"""Rows of the prompt's side, and as many of the other."""


def _pair(call: Call) -> _Pair | None:
    """The rows of the two sides, where the call has one conditioning of each, of the same pictures
    and areas."""
    if call.chunks != 2:
        return None
    size = len(call.rows) // 2
    halves = list(range(size)), list(range(size, 2 * size))
    sides = [{call.rows[i].side for i in half} for half in halves]
    same = all(
        (call.rows[i].picture, call.rows[i].area) == (call.rows[j].picture, call.rows[j].area)
        for i, j in zip(*halves, strict=True)
    )
    if not same or (sides[0] == {CONDITIONAL}) == (sides[1] == {CONDITIONAL}):
        return None
    return halves if sides[0] == {CONDITIONAL} else (halves[1], halves[0])


def _place(sigma: float) -> float:
    """Where a noise level lies on the line that residuals go on along: with a `HALF` of 1 it is the
    angle between picture and noise in what the model sees."""
    return math.atan(sigma / HALF)


def _forecast(points: Sequence[tuple[float, Residuals]], place: float) -> Residuals:
    """On the line through the last two refreshes; the last one where there is one alone."""
    at, last = points[-1]
    if len(points) < 2 or points[0][0] == at:
        return last
    before, first = points[0]
    far = max(-FARTHEST, min((place - at) / (at - before), FARTHEST))
    return _with(last, first, lambda new, old: torch.add(new, new - old, alpha=far))


def _sum(one: Residuals, other: Residuals, times: float = 1.0) -> Residuals:
    return _with(one, other, lambda a, b: torch.add(a, b, alpha=times))


def _with(
    one: Residuals, other: Residuals, change: Callable[[Tensor, Tensor], Tensor]
) -> Residuals:
    """`change` of each tensor of `one` and that of `other` at its place."""

    def changed(residual: Tensor, place: Place) -> Tensor:
        return change(residual, getattr(other, place.group)[place.block])

    return one.map(changed)


def _rows(residuals: Residuals, rows: Sequence[int]) -> Residuals:
    """Some rows, in memory of their own."""
    return residuals.map(lambda residual, _: residual[list(rows)])


def _copied(residuals: Residuals) -> Residuals:
    """In memory of their own: a compiled net may write its next answer where this one lies."""
    return residuals.map(lambda residual, _: residual.clone())


def _has_all_rows(residuals: Residuals, count: int) -> bool:
    return all(place.shape[0] == count for place in residuals.places())


def _joined(prompt: Residuals, other: Residuals, pair: _Pair) -> Residuals:
    """Both sides as one batch, in the call's order."""
    first = pair[0][0] == 0
    return _with(prompt, other, lambda a, b: torch.cat((a, b) if first else (b, a)))
