"""What a record says to a person and to a program: figures, and a sentence a control."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn import functional as F

from ..ground.ours import MARKED
from ..model_patch.control import Control
from ..model_patch.factors import Factor, Span, StepSpan
from ..model_patch.record import SIDES, Record
from ..model_patch.schedule import Schedule
from .causes import Cause, causes

VERSION = 1
"""Of the JSON. A reader of another version should look again."""

AGAINST = -0.1
"""A cosine below this is said to be a fight; above its negative, a pull to the same side."""

MAP_EDGE = 16
"""Cells of a map's edge in JSON, at most."""

THUMBNAIL = 256
"""Pixels of a hint's longer edge in a report, at most."""

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Acting: TypeAlias = Any
"""(steps,) Whether a control added anything."""


@dataclass(frozen=True, eq=False)
class Line:
    """One control's part of a report.

    Args:
        name, sentence, causes: for a person.
        sizes: (blocks, steps), as `Record.sizes` has them.
        ran: (steps, sides of `SIDES`) for how many rows of batches its net was run.
        sides: their mean over blocks and the steps in which it acted, for each of `SIDES`.
        planned: the strength a step.
        where: (pictures, h, w) the energy over the picture.
        hint: (H, W, 3) its first hint, made small, in 0..1.
    """

    name: str
    sentence: str
    causes: tuple[Cause, ...]
    sizes: Array
    ran: Array
    sides: tuple[float, ...]
    planned: tuple[float, ...]
    where: Array
    hint: Array

    @property
    def acted(self) -> bool:
        """Whether it added anything."""
        return bool(self.sizes.any())

    @property
    def net_steps(self) -> Acting:
        """(steps,) Whether its net was run."""
        return self.ran.any(axis=1)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two controls, by their numbers: the cosine a step (NaN where they did not meet)."""

    one: int
    other: int
    cosines: Array
    sentence: str


@dataclass(frozen=True, eq=False)
class Report:
    """A record in words and figures.

    Args:
        title: what the run is called.
        relative: whether sizes are shares of the features.
        blocks: the names of the blocks that were added to.
        steps: the sampler's numbers of the steps; `total` is how many it counts.
        sigmas: the noise level at which each begins.
    """

    title: str
    relative: bool
    blocks: tuple[str, ...]
    steps: range
    total: int
    sigmas: tuple[float, ...]
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is said, in order."""
        said = [line.sentence for line in self.lines]
        said += [
            f"{line.name}: {cause.sentence}"
            for line in self.lines
            for cause in line.causes
            if cause.sentence not in line.sentence
        ]
        return (*said, *(pair.sentence for pair in self.pairs))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "steps": {"first": self.steps.start, "end": self.steps.stop, "of": self.total},
            "sigmas": [round(sigma, 6) for sigma in self.sigmas],
            "sizes_are": "shares of the features" if self.relative else "root mean squares",
            "blocks": list(self.blocks),
            "controls": [_line_dict(line) for line in self.lines],
            "pairs": [
                {
                    "controls": [self.lines[pair.one].name, self.lines[pair.other].name],
                    "cosine": [None if np.isnan(c) else round(float(c), 4) for c in pair.cosines],
                    "sentence": pair.sentence,
                }
                for pair in self.pairs
            ],
        }


def report_of(record: Record, title: str = "") -> Report:
    """The report on a run."""
    lines = tuple(_line(record, index) for index in range(len(record.stack)))
    pairs = [
        _pair(record, one, other)
        for one, other in combinations(range(len(lines)), 2)
        if lines[one].acted and lines[other].acted
    ]
    return Report(
        title=title,
        relative=record.relative,
        blocks=tuple(place.name for place in record.places),
        steps=record.steps,
        total=record.schedule.total,
        sigmas=record.schedule.sigmas[: record.schedule.steps],
        lines=lines,
        pairs=tuple(pair for pair in pairs if pair is not None),
    )


def as_json(reports: Sequence[Report]) -> str:
    """Reports on one run or several."""
    runs = [report.as_dict() for report in reports]
    return json.dumps({**MARKED, "version": VERSION, "runs": runs}, ensure_ascii=False)


def size_in_words(size: float, relative: bool) -> str:
    """A size as people read it: "0.8 %" of the features, or a number."""
    if not relative:
        return f"{size:.3g}"
    percent = 100 * size
    if percent < 1:
        return f"{percent:.2g} %"
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"


def _line(record: Record, index: int) -> Line:
    control = record.stack[index]
    found = causes(record, index)
    sizes = record.sizes(index)
    acting = sizes.any(axis=0) if sizes.size else np.zeros(record.schedule.steps, bool)
    each = [record.sizes(index, side) for side in range(len(SIDES))]
    sides = tuple(float(one[:, acting].mean()) if acting.any() else 0.0 for one in each)
    return Line(
        name=control.name,
        sentence=_sentence(record, index, sizes, acting, sides, found),
        causes=found,
        sizes=sizes,
        ran=record.ran[index],
        sides=sides,
        planned=record.planned[index],
        where=record.maps[index],
        hint=_thumbnail(control),
    )


def _sentence(
    record: Record,
    index: int,
    sizes: Array,
    acting: Acting,
    sides: Sequence[float],
    found: Sequence[Cause],
) -> str:
    control, schedule = record.stack[index], record.schedule
    runs = _runs(record.ran[index])
    if not acting.any():
        why = found[0].sentence if found else "nobody here can tell why."
        return f"{control.name} did nothing: {why}{f' Its net {runs}.' if runs else ''}"
    mean = sizes[:, acting].mean(axis=1)
    most = int(mean.argmax())
    what = size_in_words(float(mean.mean()), record.relative)
    of = " of the features" if record.relative else " (root mean square)"
    there = size_in_words(float(mean[most]), record.relative)
    side = ""
    if min(sides) == 0.0 and len({row.side for row in record.rows}) > 1:
        side = f" on the {SIDES[int(np.argmax(sides))]}'s side alone"
    said = (
        f"{control.name} added {what}{of} in {schedule.words(list(acting))}{side}, most at "
        f"{record.places[most].name} ({there})"
    )
    idle = _idle(record, index, acting)
    return f"{'; '.join(part for part in (said, f'its net {runs}', idle) if part)}."


def _runs(ran: Array) -> str:
    """How often a net was run, from `Line.ran`: "ran in 6 of 20 steps, in 3 of them for the prompt
    alone"; "" for never."""
    each = (ran > 0.0).tolist()
    steps = [sides for sides in each if any(sides)]
    if not steps:
        return ""
    said = f"ran in {len(steps)} of {len(each)} steps"
    alone = [True, False]
    if alone not in steps or not any(other for _, other in steps):
        return said
    return f"{said}, in {steps.count(alone)} of them for the prompt alone"


def _idle(record: Record, index: int, acting: Acting) -> str:
    """In which steps it did nothing, and why: "it did nothing in steps 12 to 20: ..."."""
    control, schedule, ran = record.stack[index], record.schedule, record.ran[index].any(axis=1)
    reasons = {
        step: _reason(control, schedule, schedule.sigmas[step], bool(ran[step]))
        for step, acts in enumerate(acting)
        if not acts
    }
    said = []
    for reason, group in groupby(sorted(reasons), key=reasons.__getitem__):
        steps = list(group)
        words = schedule.words([step in steps for step in range(schedule.steps)])
        said.append(f"in {words.removesuffix(f' of {schedule.total}')}: {reason}")
    return f"it did nothing {', and '.join(said)}" if said else ""


def _reason(control: Control, schedule: Schedule, sigma: float, ran: bool) -> str:
    """Why it was not active at a noise level; `ran` is whether its net was run there."""
    for factor in control.factors:
        ready = factor.on(schedule)
        if ready.at(sigma) != 0.0:
            continue
        if isinstance(factor, Span):
            start = schedule.sampling.percent_to_sigma(factor.start)
            if sigma > start:
                return f"its range begins at {factor.start:g}"
            return f"its range ends at {factor.end:g}"
        if isinstance(factor, StepSpan):
            return f"its steps are {factor.first} to {factor.last}"
        return f"its {_named(factor)} is 0 there"
    if ran:
        return "its net was run and its answer not used, as where a cache answers for the model"
    return "nobody asked its net, as where a cache answers for the model"


def _named(factor: Factor) -> str:
    return type(factor).__name__.lower()


def _pair(record: Record, one: int, other: int) -> Pair | None:
    cosines = record.cosine(one, other)
    met = ~np.isnan(cosines)
    if not met.any():
        return None
    names = f"{record.stack[one].name} and {record.stack[other].name}"
    fights, agrees = met & (cosines < AGAINST), met & (cosines > -AGAINST)
    words = record.schedule.words
    if fights.any():
        value = float(cosines[fights].mean())
        said = f"{names} pull against each other in {words(list(fights))} (cosine {value:.1f})"
    elif agrees.any():
        value = float(cosines[agrees].mean())
        said = f"{names} pull the same way in {words(list(agrees))} (cosine {value:.1f})"
    else:
        said = f"{names} neither help nor hinder each other in {words(list(met))} (cosine near 0)"
    return Pair(one, other, cosines, f"{said}.")


def _thumbnail(control: Control) -> Array:
    hint = control.hint[0].movedim(0, -1).float().cpu().clamp(0, 1)
    stride = max(1, -(-max(hint.shape[:2]) // THUMBNAIL))
    small: Array = hint[::stride, ::stride].double().numpy()
    return small


def _line_dict(line: Line) -> dict[str, Any]:
    acting = line.sizes.any(axis=0) if line.sizes.size else np.zeros(0, bool)
    mean = float(line.sizes[:, acting].mean()) if acting.any() else 0.0
    return {
        "name": line.name,
        "sentence": line.sentence,
        "causes": [{"kind": cause.kind, "sentence": cause.sentence} for cause in line.causes],
        "planned": [round(strength, 6) for strength in line.planned],
        "size": _rounded(mean),
        "size_by_side": {
            name: _rounded(size) for name, size in zip(SIDES, line.sides, strict=True)
        },
        "net_ran": {
            "steps": int(line.net_steps.sum()),
            "of": len(line.ran),
            "rows": {
                name: line.ran[:, side].astype(int).tolist() for side, name in enumerate(SIDES)
            },
        },
        "sizes": [[_rounded(size) for size in row] for row in line.sizes.tolist()],
        "map": _shares(line.where),
    }


def _shares(where: Array) -> list[list[list[float]]]:
    """(pictures, h, w) For each picture the share of its energy in each cell of a coarse grid."""
    size = (min(where.shape[1], MAP_EDGE), min(where.shape[2], MAP_EDGE))
    coarse = F.adaptive_avg_pool2d(torch.from_numpy(where)[:, None], size)[:, 0]
    whole = coarse.sum((1, 2), keepdim=True)
    shares = (coarse / whole.where(whole > 0, 1.0)).tolist()
    return [[[_rounded(share) for share in row] for row in one] for one in shares]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
