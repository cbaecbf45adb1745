"""Control Preset, saved and loaded, Cut Control Stack, and `enabled` of Add ControlNet."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.model_patch.control import ControlStack
from controlstack.nodes.preset_nodes import (
    ControlStackCut,
    ControlStackLoadPreset,
    ControlStackPreset,
    ControlStackSavePreset,
)
from controlstack.nodes.stack import ControlStackAdd

HALF = '{"controlstack_preset": 1, "controls": [{"strength": 0.5}]}'


def stack() -> ControlStack:
    net: Any = SimpleNamespace()
    prompt = {
        "2": {"class_type": "ControlStackAdd", "inputs": {"control_net": ["1", 0]}},
        "1": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "pose.safetensors"}},
    }
    add = ControlStackAdd().add
    (made,) = add(net, torch.rand(1, 8, 8, 3), 1.0, 0.0, 1.0, prompt=prompt, unique_id="2")
    result: ControlStack = made
    return result


def test_add_control_tells_a_preset_the_file() -> None:
    (control,) = stack()
    assert (control.name, control.file) == ("control 1 (pose.safetensors)", "pose.safetensors")


def test_a_preset_is_put_on_and_told() -> None:
    before = stack()
    after, told = ControlStackPreset().apply(before, HALF)
    assert [c.strength for c in after] == [0.5]
    assert ControlStackPreset().apply(before, told)[1] == told
    unchanged, plain = ControlStackPreset().apply(before, " \n")
    assert unchanged == before
    assert json.loads(plain)["controls"][0]["strength"] == 1.0


def test_a_preset_is_checked_before_anything_runs() -> None:
    assert ControlStackPreset.VALIDATE_INPUTS(HALF) is True
    assert ControlStackPreset.VALIDATE_INPUTS("") is True
    assert ControlStackPreset.VALIDATE_INPUTS(None) is True
    assert "not JSON" in str(ControlStackPreset.VALIDATE_INPUTS("{"))


def test_what_is_saved_is_listed_and_loaded(place: Path) -> None:
    save = ControlStackSavePreset().save
    first, second = save(stack(), "mine.json"), save(stack(), "mine")
    text, path = first["result"]
    folder = place / "output" / "controlstack" / "presets"
    assert path == str(folder / "mine.json")
    assert first["ui"]["text"] == [path, text]
    assert second["result"] == (text, str(folder / "mine_2.json"))
    (listed, _) = ControlStackLoadPreset.INPUT_TYPES()["required"]["file"]
    assert listed == ["mine.json", "mine_2.json"]
    assert ControlStackLoadPreset.VALIDATE_INPUTS("mine.json") is True
    assert ControlStackLoadPreset().load("mine.json") == (text,)
    mark = ControlStackLoadPreset.IS_CHANGED("mine.json")
    (folder / "mine.json").write_text(HALF)
    assert ControlStackLoadPreset.IS_CHANGED("mine.json") != mark


@pytest.mark.parametrize("name", ["", "../mine", "a/b", ".hidden", "a\nb"])
def test_a_name_that_leaves_the_folder_is_refused(place: Path, name: str) -> None:
    assert "cannot be a preset's name" in str(ControlStackSavePreset.VALIDATE_INPUTS(name))
    with pytest.raises(UserError, match="cannot be a preset's name"):
        ControlStackSavePreset().save(stack(), name)


def test_a_name_that_is_too_long_for_a_file_is_refused(place: Path) -> None:
    assert "File name too long" in str(ControlStackSavePreset.VALIDATE_INPUTS("x" * 300))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("gone.json", "cannot read"),
        ("../x.json", "leaves its folder"),
        ("bad.json", "is no preset"),
    ],
)
def test_a_file_that_is_none_is_said_before_anything_runs(
    place: Path, file: str, said: str
) -> None:
    folder = place / "output" / "controlstack" / "presets"
    folder.mkdir(parents=True)
    (folder / "bad.json").write_text("{}")
    assert said in str(ControlStackLoadPreset.VALIDATE_INPUTS(file))


def test_a_stack_is_cut() -> None:
    both = (*stack(), *stack())
    (kept,) = ControlStackCut().cut(both, "2", "keep")
    assert [c.enabled for c in kept] == [False, True]


def test_a_line_that_is_off_is_the_same_whether_its_hint_was_made_or_not() -> None:
    net: Any = SimpleNamespace()
    for made in (None, torch.rand(1, 8, 8, 3)):
        ((control,),) = ControlStackAdd().add(net, made, 1.0, 0.0, 1.0, enabled=False)
        assert control.net is None
        assert control.hint.shape == (1, 3, 1, 1)
        assert control.silent


class Probe:
    """Gives a net, a hint or a boolean, and notes that it ran."""

    RETURN_TYPES = ("CONTROL_NET", "IMAGE", "BOOLEAN")
    FUNCTION = "give"
    ran: list[str]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}, "optional": {"on": ("BOOLEAN", {})}}

    def give(self, name: str, on: bool = False) -> tuple[Any, torch.Tensor, bool]:
        Probe.ran.append(name)
        return SimpleNamespace(), torch.rand(1, 8, 8, 3), on


class Show:
    """What became of the stack."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"stack": ("CONTROL_STACK",)}}

    def show(self, stack: ControlStack) -> dict[str, Any]:
        return {"ui": {"on": [control.enabled for control in stack]}}


@pytest.mark.parametrize("on", [True, False])
def test_another_node_switches_a_line_and_what_is_off_is_not_made(on: bool, place: Path) -> None:
    Probe.ran = []
    nodes = {name: default_registry().spec(name).cls for name in ("ControlStackAdd",)}
    registry = Registry({**nodes, "Probe": Probe, "Show": Show})
    probes = {
        name: {"class_type": "Probe", "inputs": {"name": name, "on": on}}
        for name in ("net", "hint", "switch")
    }
    ends = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    wires = {"control_net": ["net", 0], "image": ["hint", 1], "enabled": ["switch", 2]}
    document = {
        **probes,
        "add": {"class_type": "ControlStackAdd", "inputs": {**ends, **wires}},
        "show": {"class_type": "Show", "inputs": {"stack": ["add", 0]}},
    }
    graph = read_workflow(document, registry, "x")
    validate(graph, registry)
    results = Executor(registry).run(graph, once=True)
    assert results.ui["show"]["on"] == [on]
    assert Probe.ran == (["switch", "net", "hint"] if on else ["switch"])
