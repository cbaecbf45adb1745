"""The nodes that make factors, and Add ControlNet that takes them."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.curve import PRESETS, Curve
from controlstack.model_patch.factors import Sides, StepSpan
from controlstack.nodes.factors import (
    POINTS,
    ControlStackCurve,
    ControlStackSides,
    ControlStackSteps,
)
from controlstack.nodes.factors_within import (
    ControlStackBlocks,
    ControlStackFrames,
    ControlStackMask,
)
from controlstack.nodes.stack import ControlStackAdd


def curve(points: str = "0:1", preset: str = POINTS, **given: Any) -> Any:
    inputs = {"between": "linear", "over": "percent", **given}
    ((made,),) = ControlStackCurve().make(preset=preset, points=points, **inputs)
    return made


def test_factors_chain_and_reach_the_control() -> None:
    (steps,) = ControlStackSteps().make(2, 7)
    (both,) = ControlStackSides().make(1.0, 0.0, factor=steps)
    net: Any = SimpleNamespace()
    image = torch.rand(1, 8, 8, 3)
    ((control,),) = ControlStackAdd().add(net, image, 1.0, 0.0, 1.0, factor=both)
    assert control.also == (StepSpan(2, 7), Sides(1.0, 0.0))
    ((plain,),) = ControlStackAdd().add(net, image, 1.0, 0.0, 1.0)
    assert plain.also == ()


def test_points_are_read_as_they_are_written() -> None:
    assert curve(" 0:1 , 0.5 : 0.25,1:0,") == Curve(((0.0, 1.0), (0.5, 0.25), (1.0, 0.0)))
    assert curve("0:1, 8:0", between="cosine", over="steps") == Curve(
        ((0.0, 1.0), (8.0, 0.0)), "cosine", "steps"
    )
    listed = ((0.0, 1.0), (1.0, 0.5), (2.0, 0.0))
    assert curve("1, 0.5, 0") == Curve(listed, "stepped", "steps", listed=True)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_wins_over_points(name: str) -> None:
    assert curve("nonsense", preset=name) == Curve(PRESETS[name])


def test_a_drawn_curve_wins_over_all() -> None:
    made = curve("nonsense", curve=SimpleNamespace(interp=lambda x: x * x - 0.25))
    assert made.strength(0.5) == 0.0
    assert made.strength(1.0) == 0.75


@pytest.mark.parametrize("points", ["a:b", "0:1, x", "0;1", "1, 0:5"])
def test_points_that_are_none_are_shown(points: str) -> None:
    with pytest.raises(UserError, match=r"points of a curve are .*place:strength"):
        curve(points)


@pytest.mark.parametrize(
    ("node", "fields", "problem"),
    [
        (ControlStackCurve, {"preset": "points", "points": "0:1, x"}, "points of a curve are"),
        (ControlStackCurve, {"preset": "points", "points": "1:1, 0:1"}, "ascend"),
        (ControlStackCurve, {"preset": "fade"}, "preset is 'fade'; choose one of fade in"),
        (ControlStackBlocks, {"rule": "weights", "weights": "foo:1"}, "foo"),
        (ControlStackBlocks, {"rule": "soft"}, "rule is 'soft'; choose one of soft weights"),
        (
            ControlStackFrames,
            {"strengths": "a"},
            "of a list of keyframes are 'a'; .*picture",
        ),
        (ControlStackFrames, {"strengths": "0:99"}, "of a list of keyframes at picture 0"),
        (ControlStackFrames, {"strengths": ""}, "a list of keyframes needs points"),
    ],
)
def test_texts_are_judged_before_anything_runs(node: Any, fields: Any, problem: str) -> None:
    assert re.search(problem, node.VALIDATE_INPUTS(**fields))


@pytest.mark.parametrize(
    ("node", "fields"),
    [
        (ControlStackCurve, {"preset": "fade in", "points": "nonsense"}),
        (ControlStackCurve, {"preset": "points", "points": " "}),  # a curve may be wired
        (ControlStackCurve, {"preset": None, "points": "nonsense"}),  # comes through a link
        (ControlStackBlocks, {"rule": "logspace", "weights": "nonsense"}),
        (ControlStackFrames, {"strengths": None}),
        (ControlStackFrames, {"strengths": "1, 0, 1"}),
    ],
)
def test_texts_that_do_not_count_are_not_judged(node: Any, fields: Any) -> None:
    assert node.VALIDATE_INPUTS(**fields) is True


@pytest.mark.parametrize(
    ("blocks", "names"),
    [
        (" Middle,  First   half ,", ("middle", "first half")),
        ("first half, all", ()),
        ("", ()),
    ],
)
def test_names_of_blocks_are_read_in_any_letters(blocks: str, names: tuple[str, ...]) -> None:
    (mask,) = ControlStackMask().make(torch.ones(1, 8, 8), 0, 0, 0.0, 1.0, blocks)
    assert mask[0].blocks == names
    ((weights,),) = ControlStackBlocks().make("weights", "First  Half:0.5")
    assert weights.weights == (("first half", 0.5),)


def test_a_mask_that_holds_nowhere_or_is_none_is_refused() -> None:
    """It would do nothing, and its control act everywhere."""
    with pytest.raises(UserError, match=r"start_percent 0\.8 to end_percent 0\.2"):
        ControlStackMask().make(torch.ones(1, 8, 8), 0, 0, 0.8, 0.2, "all")
    with pytest.raises(UserError, match=r"shape \(0, 8, 8\)"):
        ControlStackMask().make(torch.ones(0, 8, 8), 3, 0, 0.0, 1.0, "all")
