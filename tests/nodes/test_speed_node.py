"""Control Speed: a stack in, the same stack at another speed out; in presets and lists."""

from __future__ import annotations

import json

import pytest

from controlstack.ground.errors import UserError
from controlstack.model_patch import preset
from controlstack.nodes.speed_node import ControlStackSpeed
from controlstack.nodes.stack_list import list_of, stack_of
from tests.model_patch.recording import numbered


def test_all_controls_of_a_stack_get_the_speed() -> None:
    stack = (numbered(0.5), numbered(0.25, strength=0.5))
    (fast,) = ControlStackSpeed().hurry(stack, "fast")
    assert [one.speed for one in fast] == ["fast"] * 2
    assert [one.strength for one in fast] == [1.0, 0.5]
    assert [one.speed for one in stack] == ["exact"] * 2
    assert ControlStackSpeed().hurry((), "fast") == ((),)


def test_the_menu_begins_with_exact() -> None:
    choices, words = ControlStackSpeed.INPUT_TYPES()["required"]["speed"]
    assert choices == ["exact", "near exact", "fast"]
    assert words["default"] == "exact"


def test_a_preset_keeps_the_speed() -> None:
    stack = (numbered(0.5, speed="near exact"),)
    text = preset.written(preset.lines_of(stack))
    assert json.loads(text)["controls"][0]["speed"] == "near exact"
    (made,) = preset.applied(preset.read(text), (numbered(0.5),))
    assert made.speed == "near exact"
    older = text.replace(', "speed": "near exact"', "")  # of a version without speeds
    assert older != text
    assert preset.applied(preset.read(older), stack)[0].speed == "near exact"
    assert "speed" not in preset.written(preset.lines_of((numbered(0.5),)))
    with pytest.raises(UserError, match="speed is 'slow'; choose exact or near exact or fast"):
        preset.read(text.replace("near exact", "slow"))


def test_another_packs_list_has_no_room_for_it() -> None:
    with pytest.raises(UserError, match="has speed fast, and a CONTROL_NET_STACK holds"):
        list_of((numbered(0.5, speed="fast"),))
    assert stack_of(list_of((numbered(0.5),)))[0].speed == "exact"
