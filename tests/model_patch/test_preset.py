"""A stack's settings as JSON: written and read, put on a stack, and refused where they are none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.model_patch.control import MODES, Control, ControlStack
from controlstack.model_patch.factors import Factor, Sides, Span, StepSpan
from controlstack.model_patch.lines import cut
from controlstack.model_patch.mask import Mask
from controlstack.model_patch.preset import (
    KINDS,
    VERSION,
    applied,
    lines_of,
    read,
    read_file,
    written,
)
from controlstack.model_patch.view import AREA_HINTS, FRAMES
from tests.model_patch.factor_cases import factors
from tests.model_patch.recording import added, numbered, numbers_of

FILES = ("canny.safetensors", "depth.safetensors", "pose.safetensors")
NAMES = st.text('aB/\\ ."é控\n', max_size=6)
MASK = Mask(torch.eye(8)[None])


def stack_of(*files: str, **given: Any) -> ControlStack:
    names = (f"control {i} ({file})" for i, file in enumerate(files, 1))
    return tuple(
        numbered(float(i), name=name, file=file, **given)
        for i, (name, file) in enumerate(zip(names, files, strict=True), 1)
    )


def text(*controls: Any) -> str:
    return json.dumps({"controlstack_preset": 1, "controls": list(controls)})


def settings(stack: ControlStack) -> list[Any]:
    return [(c.strength, c.span, c.mode, c.also, c.enabled) for c in stack]


@st.composite
def controls(draw: st.DrawFn) -> Control:
    unit = st.floats(0.0, 1.0)
    return numbered(
        1.0,
        file=draw(NAMES),
        strength=draw(st.floats(0.0, 10.0)),
        span=Span(draw(unit), draw(unit)),
        mode=draw(st.sampled_from(list(MODES))),
        area_hint=draw(st.sampled_from(AREA_HINTS)),
        frames=draw(st.sampled_from(FRAMES)),
        union_types=tuple(draw(st.lists(NAMES, max_size=2))),
        also=tuple(draw(st.lists(factors(), max_size=4))),
        enabled=draw(st.booleans()),
    )


@given(st.lists(controls(), max_size=3))
def test_what_is_written_is_read_again(made: list[Control]) -> None:
    lines = lines_of(tuple(made))
    assert read(written(lines)) == lines
    bare = tuple(numbered(1.0, file=control.file) for control in made)
    assert lines_of(applied(read(written(lines)), bare)) == lines


def test_every_kind_of_factor_is_written() -> None:
    known = {cls for cls in _below(Factor) if cls.__module__.startswith("controlstack.model_patch")}
    of_a_run = {"Between", "_Placed"}  # what factors become when a run begins
    assert {c.__name__ for c in known - set(KINDS.values())} == {"Mask", *of_a_run}


def _below(cls: type) -> set[type]:
    return {cls for one in cls.__subclasses__() for cls in (one, *_below(one))}


def test_a_line_goes_to_the_net_of_its_name() -> None:
    stack = stack_of("sub\\canny.safetensors", "depth.safetensors")
    lines = read(
        text(
            {"name": "depth.safetensors", "strength": 0.25},
            {"name": "sub/canny.safetensors", "enabled": False},
        )
    )
    canny, depth = applied(lines, stack)
    assert (canny.strength, canny.enabled, depth.strength) == (1.0, False, 0.25)


@pytest.mark.parametrize("names", [("other", "depth.safetensors"), ("", ""), ("canny", "canny")])
def test_without_the_names_lines_go_by_number(names: tuple[str, str]) -> None:
    lines = read(
        text(*({"name": n, "strength": s} for n, s in zip(names, (0.5, 2.0), strict=True)))
    )
    assert [c.strength for c in applied(lines, stack_of(*FILES))] == [0.5, 2.0, 1.0]


def test_a_name_that_is_there_goes_by_name_and_the_rest_to_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = read("\ufeff" + text({"name": "b", "strength": 0.25}, {"name": "c", "strength": 2.0}))
    first, second = applied(lines, stack_of("a", "b"))
    assert (first.strength, second.strength) == (2.0, 0.25)
    assert "line for c goes to a" in caplog.text


def test_a_net_that_is_there_twice_goes_by_number() -> None:
    lines = read(text({"name": "pose"}, {"name": "pose", "strength": 0.5}))
    assert [c.strength for c in applied(lines, stack_of("pose", "pose"))] == [1.0, 0.5]


def test_controls_without_a_line_stay_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stack = stack_of(*FILES)
    with caplog.at_level(logging.INFO, "controlstack"):
        first, second, third = applied(read(text({"name": FILES[1], "strength": 0.5})), stack)
    assert (first, third) == (stack[0], stack[2])
    assert second.strength == 0.5
    assert "nothing of control 1 (canny.safetensors), control 3" in caplog.text


def test_more_lines_than_controls_are_refused_with_both_numbers() -> None:
    with pytest.raises(UserError, match=r"for 3 controls .*the stack has 1 "):
        applied(read(text({}, {}, {})), stack_of("pose"))


def test_what_a_line_does_not_name_stays() -> None:
    kept: dict[str, Any] = {"strength": 0.5, "also": (Sides(1.0, 0.0),), "mode": "cfg_rw"}
    (before,) = stack_of("pose", span=Span(0.25, 0.75), **kept)
    (after,) = applied(read(text({"end_percent": 0.5})), (before,))
    assert after.span == Span(0.25, 0.5)
    assert (after.strength, after.also, after.mode) == (0.5, kept["also"], "cfg_rw")


def test_masks_are_not_saved_and_stay() -> None:
    (control,) = stack_of("pose", also=(MASK, StepSpan(0, 3)), mask=MASK.masks)
    lines = lines_of((control,))
    assert "mask" not in written(lines)
    (after,) = applied(
        read(text({"factors": [{"kind": "steps", "first": 1, "last": 2}]})), (control,)
    )
    assert after.also == (StepSpan(1, 2), MASK)
    assert after.mask is control.mask
    assert applied(lines, (control,))[0].also == (StepSpan(0, 3), MASK)


def test_exact_steps_in_the_place_of_percents_are_saved_as_a_factor() -> None:
    (line,) = lines_of(stack_of("pose", span=StepSpan(2, 5)))
    assert line.settings["factors"] == (StepSpan(2, 5),)


def test_a_line_that_was_not_made_stays_off(caplog: pytest.LogCaptureFixture) -> None:
    (control,) = stack_of("pose", enabled=False)
    assert applied(read(text({"enabled": True})), (control,))[0].enabled
    nothing: Any = None
    unmade = Control(net=nothing, hint=torch.zeros(1, 3, 1, 1), name="pose", enabled=False)
    (after,) = applied(read(text({"enabled": True, "strength": 2})), (unmade,))
    assert (after.enabled, after.strength) == (False, 2.0)
    assert "pose stays off" in caplog.text


def test_a_preset_acts() -> None:
    lines = read(text({"strength": 0.5, "factors": [{"kind": "sides", "uncond": 0}]}))
    made = added(applied(lines, stack_of("pose")), 2, cond_or_uncond=[0, 1])
    assert numbers_of(made) == [0.5, 0.0]


def _with(factor: Any) -> str:
    return text({}, {"name": "pose", "factors": [{"kind": "logspace"}, factor]})


SECOND = r"the preset, line 2 \(pose\), factor 2"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "not JSON"),
        ("[]", r"is \[\], but has to be an object"),
        ("{}", "lacks .controlstack_preset.: 1"),
        ('{"controlstack_preset": true, "controls": []}', "is no preset"),
        ('{"controlstack_preset": 2, "lines": 3}', f"version 2, .* {VERSION}: update"),
        ('{"controlstack_preset": 1}', "controls is None"),
        ('{"controlstack_preset": 1, "controls": [], "author": 1}', "has no field 'author'"),
        (text(3), "the preset, line 1 is 3, but has to be an object"),
        (text({"name": "pose", "strngth": 1}), r"\(pose\) has no field 'strngth'; it has name"),
        (text({"name": 3}), "line 1: name is 3, but has to be a text"),
        (text({"name": "pose", "strength": 11}), r"line 1 \(pose\): strength is 11.0; .*10"),
        (text({"strength": "1"}), "line 1: strength is '1', but has to be a number"),
        (text({"strength": True}), "line 1: strength is True, but has to be a number"),
        ('{"controlstack_preset": 1, "controls": [{"strength": NaN}]}', "NaN.*not finite"),
        (text({"strength": 10**400}), "line 1: strength is a number of more than 77 digits"),
        (text({"start_percent": 1.5}), "line 1: start_percent is 1.5; .*between 0 and 1"),
        (text({"mode": "bold"}), "line 1: mode is 'bold'; choose balanced"),
        (text({"enabled": 1}), "line 1: enabled is 1, but has to be true or false"),
        (text({"union_types": ["canny", 1]}), "line 1: union_types, item 2 is 1"),
        (text({"factors": {}}), "line 1: factors is {}, but has to be a list"),
        (_with({"kind": "fade"}), f"{SECOND}: kind is 'fade'; choose one of strength"),
        (_with({"kind": []}), rf"{SECOND}: kind is \[\]"),
        (_with({"kind": "mask"}), f"{SECOND}: kind is 'mask'"),
        (_with({"kind": "steps", "first": 1}), rf"{SECOND} \(steps\) lacks last"),
        (_with({"kind": "steps", "first": 1.0, "last": 2}), "first is 1.0, but .* whole number"),
        (_with({"kind": "steps", "first": 3, "last": 2}), rf"{SECOND} \(steps\): the steps 3 to 2"),
        (_with({"kind": "sides", "cond": -1}), rf"{SECOND} \(sides\): cond is -1"),
        (_with({"kind": "curve", "points": [[0, 1, 2]]}), "points, item 1 is .* a list of 2"),
        (_with({"kind": "curve", "points": [[1, 1], [0, 1]]}), "places of a curve .*ascend"),
        (_with({"kind": "curve", "points": [[0, 1]], "between": "x"}), "between is 'x'; choose"),
        (_with({"kind": "blocks", "weights": [["inner", 1]]}), "'inner' is no name of a block"),
        (_with({"kind": "logspace", "base": 10}), "has no field 'base'; it has kind"),
    ],
)  # fmt: skip
def test_what_is_no_preset_is_a_sentence(written: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read(written)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_and_may_not_be_large(tmp_path: Path) -> None:
    file = tmp_path / "my.json"
    file.write_text(text({"strength": 2}), encoding="utf-8-sig")
    assert read_file(file)[0].settings == {"strength": 2.0}
    file.write_text(text({"strength": -2}))
    with pytest.raises(UserError, match=r"my\.json, line 1: strength is -2"):
        read_file(file)
    file.write_text(" " * (1 << 20) + "{}")
    with pytest.raises(UserError, match=r"larger than 1\.0 MB"):
        read_file(file)


def on(stack: ControlStack) -> list[int]:
    return [number for number, control in enumerate(stack, 1) if control.enabled]


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [("1", [1]), ("1, 03", [1, 3]), ("Depth", [2]), ("1, pose,", [1, 3]), (".saf", [1, 2, 3])],
)  # fmt: skip
def test_a_stack_is_cut_to_lines(chosen: str, kept: list[int]) -> None:
    stack = stack_of(*FILES)
    made = cut(stack, chosen, "keep")
    assert on(made) == kept
    assert [c.name for c in made] == [c.name for c in stack]
    assert on(cut(stack, chosen, "switch off")) == [i for i in (1, 2, 3) if i not in kept]
    first = next(iter(kept))
    assert numbers_of(added(made, 1)) == [float(sum(kept))]
    assert made[first - 1] is stack[first - 1]


def test_a_line_that_is_off_stays_off_when_it_is_kept() -> None:
    stack = cut(stack_of(*FILES), "depth", "switch off")
    assert on(cut(stack, "1, 2", "keep")) == [1]


@pytest.mark.parametrize("chosen", ["", " , "])
def test_nothing_named_cuts_nothing(chosen: str) -> None:
    stack = stack_of(*FILES)
    assert cut(stack, chosen, "keep") == cut(stack, chosen, "switch off") == stack


@pytest.mark.parametrize("chosen", ["0", "4", "1, scribble"])
def test_what_is_no_line_lists_the_lines(chosen: str) -> None:
    with pytest.raises(UserError, match=r"no line .*control 1 \(canny.*control 3 \(pose"):
        cut(stack_of(*FILES), chosen, "keep")
