"""Choices that bring inputs of their own (ComfyUI's DynamicCombo), in both forms of a workflow."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow


class Lamp:
    RETURN_TYPES = ()
    FUNCTION = "shine"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        depth = ("INT", {"default": 3, "min": 1, "max": 9})
        inner = {"key": "deep", "inputs": {"optional": {"depth": depth}}}
        colour = ("COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "flat", "inputs": {}}, inner]})
        power = ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0})
        options = [
            {"key": "off", "inputs": {"required": {}}},
            {"key": "on", "inputs": {"required": {"power": power}, "optional": {"colour": colour}}},
            {"key": "blink", "inputs": {"optional": {"power": power, "image": ("IMAGE", {})}}},
        ]
        return {
            "required": {"state": ("COMFY_DYNAMICCOMBO_V3", {"options": options})},
            "optional": {"name": ("STRING", {"default": "lamp"})},
        }

    def shine(self, **inputs: Any) -> tuple[()]:
        return ()


LAMPS = Registry({"Lamp": Lamp})


def api(**inputs: Any) -> dict[str, Any]:
    return {"1": {"class_type": "Lamp", "inputs": inputs}}


def drawn(stored: Any, **more: Any) -> dict[str, Any]:
    node = {"id": 1, "type": "Lamp", "inputs": [], "outputs": [], "widgets_values": stored, **more}
    return {"nodes": [node], "links": [], "version": 0.4}


def inputs_of(document: dict[str, Any]) -> dict[str, Any]:
    return dict(read_workflow(document, LAMPS, "x").nodes["1"].inputs)


def complaint(**inputs: Any) -> str:
    with pytest.raises(UserError) as raised:
        validate(read_workflow(api(**inputs), LAMPS, "x"), LAMPS)
    return str(raised.value)


DEEP = {"state": "on", "state.power": 0.25, "state.colour": "deep", "state.colour.depth": 4}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (["off", "a"], {"state": "off", "name": "a"}),
        (["blink", 0.1, "a"], {"state": "blink", "state.power": 0.1, "name": "a"}),
        (["on", 0.25, "deep", 4, "a"], {**DEEP, "name": "a"}),
        (
            ["on", 0.25, "flat", "a"],
            {"state": "on", "state.power": 0.25, "state.colour": "flat", "name": "a"},
        ),
        ([], {"state": "off", "name": "lamp"}),
        ({**DEEP, "name": "a"}, {**DEEP, "name": "a"}),
        (["gone", "a"], {"state": "gone", "name": "a"}),
    ],
)
def test_a_canvas_gives_each_field_its_value(stored: Any, expected: dict[str, Any]) -> None:
    assert inputs_of(drawn(stored)) == expected


def test_names_win_over_places_and_what_the_choice_does_not_bring_goes() -> None:
    named = {**DEEP, "state.colour": "flat", "name": "b"}
    now = inputs_of(drawn(["off", "a"], widgets_values_named=named))
    assert now == {"state": "on", "state.power": 0.25, "state.colour": "flat", "name": "b"}


@pytest.mark.parametrize(
    "inputs",
    [
        {"state": "off"},
        DEEP,
        {"state": "on", "state.power": 1},
        {"state": "blink"},
        {"state": "off", "state.power": "what another choice left"},
    ],
)
def test_a_sound_prompt_passes(inputs: dict[str, Any]) -> None:
    validate(read_workflow(api(**inputs), LAMPS, "x"), LAMPS)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "input state (COMFY_DYNAMICCOMBO_V3) is missing"),
        ({"state": "dim"}, "input state is 'dim', but has to be one of: off, on, blink"),
        ({"state": "dim", "state.pwer": 1}, "input state is 'dim', but has to be one of: off"),
        ({"state": {"a": 1}}, "input state is {'a': 1}, but has to be one of its choices"),
        ({"state": "on"}, "input state.power (FLOAT) is missing"),
        ({**DEEP, "state.power": 1.5}, "input state.power is 1.5, but has to be from 0.0 to 1.0"),
        ({**DEEP, "state.colour.depth": 0}, "input state.colour.depth is 0, but has to be from"),
        ({**DEEP, "state.colour.depth": "x"}, "depth is 'x', but has to be a whole number"),
        ({**DEEP, "state.pwer": 1}, "state 'on' has no state.pwer; it has state.power, state.c"),
        ({"state": "blink", "state.image": "x"}, "input state.image is 'x', but takes a link"),
    ],
)
def test_what_is_wrong_names_the_node_and_the_input(inputs: dict[str, Any], said: str) -> None:
    (line,) = complaint(**inputs).splitlines()
    assert line.startswith("node 1 (Lamp): ")
    assert said in line


def test_a_choice_takes_no_link() -> None:
    document = {**api(state=["1", 0])}
    with pytest.raises(UserError, match=r"node 1 \(Lamp\): input state is linked to output 0"):
        validate(read_workflow(document, LAMPS, "x"), LAMPS)


def test_a_brought_value_is_set_by_its_whole_name_and_on_the_canvas() -> None:
    graph = read_workflow(drawn(["on", 0.25, "deep", 4, "a"]), LAMPS, "x")
    changed = override(graph, LAMPS, "1.state.colour.depth", "7")
    assert changed.nodes["1"].inputs == {**DEEP, "state.colour.depth": 7, "name": "a"}
    assert changed.workflow is not None
    assert inputs_of(dict(changed.workflow)) == changed.nodes["1"].inputs
    assert override(graph, LAMPS, "Lamp.state.power", "1").nodes["1"].inputs["state.power"] == 1.0


def test_another_choice_runs_and_leaves_no_wrong_canvas() -> None:
    graph = read_workflow(drawn(["on", 0.25, "deep", 4, "a"]), LAMPS, "x")
    changed = override(graph, LAMPS, "1.state", "off")
    validate(changed, LAMPS)
    assert changed.nodes["1"].inputs["state"] == "off"
    assert changed.workflow is None
    with pytest.raises(UserError, match=r"has no input 'state\.power'; it has state, name"):
        override(changed, LAMPS, "1.state.power", "1")
