"""Factors of every kind that a preset can hold, drawn by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from controlstack.model_patch.blocks import (
    PARTS,
    Blocks,
    LogSpace,
    RelativeResolution,
    Resolution,
    SoftWeights,
)
from controlstack.model_patch.curve import BETWEEN, OVER, Curve
from controlstack.model_patch.factors import Factor, Sides, Span, StepSpan, Strength
from controlstack.model_patch.frames import FrameStrengths

WEIGHTS = st.floats(0.0, 10.0)
_UNIT = st.floats(0.0, 1.0)
_NAMES = st.sampled_from([*PARTS, "output", "middle", "output 0", "output 0-1"])


def _points(places: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """Ascending places with strengths."""
    ascending = st.lists(places, min_size=1, max_size=4, unique=True).map(sorted)
    return ascending.flatmap(
        lambda at: st.tuples(*[st.tuples(st.just(float(place)), WEIGHTS) for place in at])
    )


def _spans(kind: Any, ends: st.SearchStrategy[Any]) -> st.SearchStrategy[Factor]:
    return st.tuples(ends, ends).map(lambda pair: kind(*sorted(pair)))


def factors() -> st.SearchStrategy[Factor]:
    """Any of them, for a run of a few steps and pictures and a net of three residuals."""
    return st.one_of(
        st.sampled_from([SoftWeights(), LogSpace(), Resolution(), RelativeResolution()]),
        st.builds(Strength, WEIGHTS),
        st.builds(Sides, WEIGHTS, WEIGHTS),
        _spans(Span, _UNIT),
        _spans(StepSpan, st.integers(0, 3)),
        st.builds(Curve, _points(_UNIT), st.sampled_from(BETWEEN), st.sampled_from(OVER)),
        st.builds(FrameStrengths, _points(st.integers(0, 5)), st.sampled_from(BETWEEN)),
        st.lists(st.tuples(_NAMES, WEIGHTS), max_size=3).map(lambda some: Blocks(tuple(some))),
    )
