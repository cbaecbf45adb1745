"""Why did control do nothing? The causes that a record shows, each with what to do.

Only what is certain is said: a cause that is not there is worse than one that is not found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from ..model_patch.control import Control
from ..model_patch.curve import Curve
from ..model_patch.factors import Factor, Sides, Span, StepSpan
from ..model_patch.frames import FrameStrengths
from ..model_patch.mask import Mask
from ..model_patch.record import Record
from ..model_patch.residuals import Place
from ..model_patch.schedule import Schedule
from .hint_kinds import EXPECTED, is_inverted, kind_of_hint, kind_of_net

HINTS_LOOKED_AT = 4
"""Of a batch of hints, at most, evenly spread."""


@dataclass(frozen=True)
class Cause:
    """Why a control did nothing or little: a word for programs, and a sentence without the
    control's name that ends with what to do."""

    kind: str
    sentence: str


def causes(record: Record, index: int) -> tuple[Cause, ...]:
    """What kept control `index` from acting in a run, and what is wrong with its hint."""
    control = record.stack[index]
    if (never := _silent(control)) is not None:
        return (never,)
    found = []
    if not any(record.planned[index]):
        found.append(_not_planned(control, record.schedule))
    elif not record.added[index].any():
        found.append(_added_nothing(record, index))
    return (*found, *_of_hint(control))


def _silent(control: Control) -> Cause | None:
    """Why it acts in no run at all."""
    if not control.enabled:
        return Cause("off", "its line is switched off; switch enabled on at its Add ControlNet.")
    if control.strength == 0.0:
        return Cause("strength", "its strength is 0; raise it.")
    mask = () if control.mask is None else (Mask(control.mask),)
    silent = [factor for factor in (*mask, *control.also, control.span) if factor.silences]
    return _of_factor(silent[0]) if silent else None


def _of_factor(factor: Factor) -> Cause:
    """A factor that is 0 all through a run."""
    match factor:
        case Mask():
            return Cause("mask", "its mask is black everywhere; white is where it acts.")
        case Sides():
            return Cause("sides", "its Control Sides are 0 for all that is sampled; raise one.")
        case FrameStrengths():
            return Cause("frames", "its Control Frames are 0 for all pictures; raise some.")
        case StepSpan():
            return Cause("steps", "its range of steps holds none; let it end after it begins.")
        case Curve():
            return Cause("curve", "its curve is 0 at every step of this run; raise it there.")
        case _:
            return Cause("factor", f"its {type(factor).__name__} is 0 throughout; change it.")


def _not_planned(control: Control, schedule: Schedule) -> Cause:
    """Which factor leaves no step of this run."""
    levels = schedule.sigmas[: schedule.steps]
    for factor in control.factors:
        ready = factor.on(schedule)
        if any(ready.at(sigma) for sigma in levels):
            continue
        if isinstance(factor, Span):
            return _of_span(factor, schedule)
        if isinstance(factor, StepSpan):
            before = schedule.window.before
            return Cause(
                "steps",
                f"its steps {factor.first} to {factor.last} are none of this run's, "
                f"{before} to {before + schedule.steps} of {schedule.total}; change them.",
            )
        return _of_factor(factor)
    return Cause(
        "factors", "its range and its factors leave no step together; let them meet somewhere."
    )


def _of_span(span: Span, schedule: Schedule) -> Cause:
    start, end = (schedule.sampling.percent_to_sigma(at) for at in (span.start, span.end))
    first, last = schedule.sigmas[0], schedule.sigmas[schedule.steps - 1]
    where = f"its range {span.start:g} to {span.end:g}"
    if span.start > span.end:
        return Cause("range", f"{where} ends before it starts; exchange the two.")
    if end > first:
        least = _percent_up(schedule.percent(first))
        return Cause(
            "denoise",
            f"{where} is over before this run begins, at noise level {first:.3g} (denoise below 1, "
            f"or a part of the steps); set end_percent to {least:g} or more, or raise denoise.",
        )
    if start < last:
        most = math.floor(1000 * schedule.percent(last)) / 1000
        return Cause(
            "range",
            f"{where} begins after the last step of this run, at noise level {last:.3g}; set "
            f"start_percent to {most:g} or less.",
        )
    return Cause(
        "range", f"no step of this run begins within {where.removeprefix('its ')}; widen it."
    )


def _added_nothing(record: Record, index: int) -> Cause:
    """Why all that it added is exactly 0, though steps were planned."""
    factors = record.stack[index].factors
    if not record.rows:
        return Cause(
            "model",
            "the model was never called in this run, because another patch answers in its place.",
        )
    pictures = {row.picture for row in record.rows}
    for factor in factors:
        if not any(factor.of_row(row) for row in record.rows):
            if isinstance(factor, Sides):
                return Cause(
                    "sides",
                    "it acts on the negative prompt's side alone, which is not sampled at CFG 1; "
                    "raise cond of its Control Sides, or CFG.",
                )
            return Cause(
                "frames",
                f"its Control Frames are 0 for all {len(pictures)} pictures of this run; raise "
                "some.",
            )
    if record.places and not any(_of_block(factors, place) for place in record.places):
        return Cause("blocks", "its weights are 0 for every block of the net; raise some.")
    masks = [factor for factor in factors if isinstance(factor, Mask)]
    for mask in masks:
        if not mask.blocks and not any(_left_of(mask.masks, place) for place in record.places):
            height, width = record.maps.shape[-2:]
            return Cause(
                "mask",
                f"nothing is left of its mask on the latent of {width} x {height}; make its white "
                "part larger.",
            )
    within = any(type(factor).over is not Factor.over for factor in factors)
    if within or not all(_of_block(factors, place) for place in record.places):
        return Cause("factors", "its factors leave nothing together; let them meet somewhere.")
    if not record.places:
        return Cause(
            "model",
            "what it added reached no step, because another patch answers in the model's place.",
        )
    return Cause(
        "weights",
        "all that its net gives is exactly 0, as of a ControlNet that was never trained; choose "
        "another file, or train it further.",
    )


def _of_hint(control: Control) -> list[Cause]:
    """What is wrong with its pictures, by themselves and for a net of this file's name."""
    lowest, highest = control.hint.amin((2, 3)), control.hint.amax((2, 3))
    if float((highest - lowest).max()) < 1 / 255:
        if float(highest.max()) < 1 / 255:
            return [
                Cause(
                    "black hint",
                    "its hint is black: what made it found nothing in the picture; look at it.",
                )
            ]
        return [Cause("constant hint", "its hint is one colour all over; look at what made it.")]
    wanted = None if control.union_types else kind_of_net(control.name)
    if wanted is None:
        return []
    stride = -(-len(control.hint) // HINTS_LOOKED_AT)
    pictures = [hint.movedim(0, -1).float().cpu().numpy() for hint in control.hint[::stride]]
    if wanted == "edges" and all(map(is_inverted, pictures)):
        return [
            Cause(
                "inverted hint",
                "its hint is dark lines on white, and a net of this name expects white lines on "
                "black; invert it.",
            )
        ]
    kinds = {kind_of_hint(picture) for picture in pictures}
    (kind,) = kinds if len(kinds) == 1 else (None,)
    if kind is None or kind == wanted:
        return []
    return [
        Cause(
            "wrong hint",
            f"its hint looks like {EXPECTED[kind]}, and a net of this name expects "
            f"{EXPECTED[wanted]}; take another net, or make another hint.",
        )
    ]


def _of_block(factors: tuple[Factor, ...], place: Place) -> float:
    return math.prod(factor.of_block(place) for factor in factors)


def _left_of(masks: Tensor, place: Place) -> bool:
    """Whether anything of the masks is left at a block's size; at tokens nobody looks."""
    if place.height is None:
        return True
    size = tuple(place.shape[-2:])
    return bool(F.interpolate(masks[:, None].float(), size=size, mode="bilinear").any())


def _percent_up(percent: float) -> float:
    return min(float(np.ceil(1000 * percent)) / 1000, 1.0)
