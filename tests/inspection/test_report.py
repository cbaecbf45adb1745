"""What a report says, against numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from controlstack.inspection.report import VERSION, Report, as_json, report_of
from controlstack.inspection.report_picture import WIDTH, beneath, draw_report, draw_words
from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Sides, Span, StepSpan
from controlstack.model_patch.schedule import Window
from tests.model_patch.measured import SIGMAS, measured
from tests.model_patch.recording import SIZE, Numbers, numbered

FEATURES = torch.full((4, 4, SIZE, SIZE), 100.0)
LEFT = (torch.arange(64) < 32).float().expand(1, 64, 64)


def said(*controls: Control, window: Window | None = None) -> Report:
    found = {} if window is None else {"window": window}
    return report_of(measured(controls, features=FEATURES, **found))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("control", "sentence"),
    [
        (
            numbered(1.0, name="pose"),
            "pose added 0.67 % of the features in steps 0 to 4 of 4, most at output 0 (1.0 %); its "
            "net ran in 4 of 4 steps.",
        ),
        (
            numbered(1.0, name="depth", span=Span(0.0, 0.5)),
            "depth added 0.67 % of the features in steps 0 to 3 of 4, most at output 0 (1.0 %); "
            "its net ran in 3 of 4 steps; it did nothing in steps 3 to 4: its range ends at 0.5.",
        ),
        (
            numbered(1.0, name="late", span=Span(0.5, 1.0)),
            "late added 0.67 % of the features in steps 2 to 4 of 4, most at output 0 (1.0 %); its "
            "net ran in 2 of 4 steps; it did nothing in steps 0 to 2: its range begins at 0.5.",
        ),
        (
            numbered(1.0, name="mid", span=Span(0.25, 0.5)),
            "mid added 0.67 % of the features in steps 1 to 3 of 4, most at output 0 (1.0 %); its "
            "net ran in 2 of 4 steps; it did nothing in steps 0 to 1: its range begins at 0.25, "
            "and in steps 3 to 4: its range ends at 0.5.",
        ),
        (
            numbered(1.0, name="exact", span=StepSpan(0, 1)),
            "exact added 0.67 % of the features in steps 0 to 1 of 4, most at output 0 (1.0 %); "
            "its net ran in 1 of 4 steps; it did nothing in steps 1 to 4: its steps are 0 to 1.",
        ),
        (numbered(1.0, name="off", strength=0.0), "off did nothing: its strength is 0; raise it."),
        (
            numbered(1.0, name="one side", also=(Sides(1.0, 0.0),)),
            "one side added 0.47 % of the features in steps 0 to 4 of 4 on the prompt's side "
            "alone, most at output 0 (0.71 %); its net ran in 4 of 4 steps.",
        ),
    ],
)
def test_a_sentence_a_control(control: Control, sentence: str) -> None:
    assert said(control).lines[0].sentence == sentence


def test_steps_are_counted_as_the_sampler_does() -> None:
    report = said(numbered(1.0, name="pose"), window=Window(6, 10))

    assert "in steps 6 to 10 of 10" in report.lines[0].sentence
    assert report.steps == range(6, 10)


def test_a_net_that_runs_seldom_is_counted() -> None:
    """What is said is what the net itself counts, of all steps and of the prompt's side alone."""
    net = Numbers()
    speedy = numbered(1.0, name="speedy", speed="near exact", net=net)
    levels = tuple(10.0 * (1 - step / 20) for step in range(21))
    stack = (speedy, numbered(1.0, name="exact"))
    report = report_of(measured(stack, levels, FEATURES, uuids=["one", "other"]))

    assert net.runs == [4, 2, 4, 2, 4, 2], "two pictures, of both sides and of the prompt's"
    said, exact = report.lines
    assert said.acted
    assert "; its net ran in 6 of 20 steps, in 3 of them for the prompt alone." in said.sentence
    assert exact.sentence.endswith("its net ran in 20 of 20 steps.")
    told = report.as_dict()["controls"][0]["net_ran"]
    assert (told["steps"], told["of"]) == (6, 20)
    rows = zip(told["rows"]["prompt"], told["rows"]["negative prompt"], strict=True)
    assert [sum(both) for both in rows if any(both)] == net.runs
    seldom, often = (draw_report(replace(report, lines=(one,), pairs=())) for one in report.lines)
    assert seldom.tobytes() != often.tobytes()


def test_a_net_whose_work_came_to_nothing_is_told() -> None:
    nothing = said(numbered(0.0, name="zeros"))

    assert nothing.lines[0].sentence.startswith("zeros did nothing: all that its net gives")
    assert nothing.lines[0].sentence.endswith(" Its net ran in 4 of 4 steps.")


def test_controls_that_fight() -> None:
    report = said(
        numbered(1.0, name="a"),
        numbered(-1.0, name="b", span=Span(0.0, 0.25)),
        numbered(1.0, name="c"),
    )

    assert [pair.sentence for pair in report.pairs] == [
        "a and b pull against each other in steps 0 to 2 of 4 (cosine -1.0).",
        "a and c pull the same way in steps 0 to 4 of 4 (cosine 1.0).",
        "b and c pull against each other in steps 0 to 2 of 4 (cosine -1.0).",
    ]


def test_controls_that_never_meet_neither_help_nor_hinder() -> None:
    apart = said(numbered(1.0, name="a", mask=LEFT), numbered(1.0, name="b", mask=1 - LEFT))
    turns = said(
        numbered(1.0, name="a", span=StepSpan(0, 2)), numbered(1.0, name="b", span=StepSpan(2, 4))
    )

    assert "neither help nor hinder" in apart.pairs[0].sentence
    assert turns.pairs == ()


def test_without_features_sizes_are_absolute() -> None:
    report = report_of(measured((numbered(0.5, name="pose"),)))

    assert report.lines[0].sentence == (
        "pose added 0.5 (root mean square) in steps 0 to 4 of 4, most at output 0 (0.5); its net "
        "ran in 4 of 4 steps."
    )
    assert report.as_dict()["sizes_are"] == "root mean squares"


def test_a_model_that_shows_nothing_in_all_steps_is_said() -> None:
    report = said(numbered(1.0, name="a", mask=torch.zeros(1, 8, 8)))

    assert report.lines[0].sentence.startswith("a did nothing: its mask is black everywhere")
    assert not report.lines[0].acted


def test_the_json_has_a_version_and_every_figure() -> None:
    told = json.loads(as_json([said(numbered(1.0, name="a"), numbered(2.0, name="b", mask=LEFT))]))

    assert told["version"] == VERSION
    (run,) = told["runs"]
    assert run["steps"] == {"first": 0, "end": 4, "of": 4}
    assert run["blocks"] == ["output 0", "output 1", "middle"]
    one, other = run["controls"]
    assert one["sizes"][0] == [0.01] * 4
    assert one["size_by_side"] == {"prompt": 0.006667, "negative prompt": 0.006667}
    left, right = np.split(np.array(other["map"]), 2, axis=-1)
    assert left.sum() > 10 * right.sum()
    assert np.array(other["map"]).sum((1, 2)) == pytest.approx(1.0, abs=1e-3)
    assert run["pairs"][0]["cosine"] == pytest.approx([0.7] * 4, abs=0.05)


def test_a_picture_of_every_kind_of_line() -> None:
    report = said(
        numbered(1.0, 2.0, name="control 1 (pose.safetensors)"),
        numbered(1.0, name="off", strength=0.0),
        numbered(-1.0, name="控制", mask=LEFT),
    )
    over_hints = draw_report(replace(report, title="KSampler"))
    over_pictures = draw_report(report, np.zeros((2, 64, 64, 3)))

    assert over_hints.size == over_pictures.size
    assert over_hints.width == 100 * WIDTH
    assert over_hints.tobytes() != over_pictures.tobytes()
    assert beneath([over_hints, over_pictures]).height == 2 * over_hints.height
    assert draw_words("nothing").width == over_hints.width


def test_a_run_in_which_nothing_acted_is_drawn() -> None:
    net = Numbers()
    record = measured((Control(net, torch.zeros(1, 3, 8, 8), "a", strength=0.0),), SIGMAS)  # type: ignore[arg-type]

    assert not net.runs
    assert draw_report(report_of(record)).width == 100 * WIDTH
