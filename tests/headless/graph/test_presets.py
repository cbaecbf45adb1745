"""`--preset FILE`, in the graph."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.model import Graph, Link
from controlstack.headless.graph.presets import with_preset
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow

REGISTRY = default_registry()


def graph_of(**stacks: Any) -> Graph:
    """Two lines of a stack, and nodes that take one or both: the type's name before its stack."""
    document = {
        "1": {"class_type": "ControlStackAdd", "inputs": {}},
        "2": {"class_type": "ControlStackAdd", "inputs": {"stack": ["1", 0]}},
        **{name: {"class_type": name, "inputs": inputs} for name, inputs in stacks.items()},
    }
    return read_workflow(document, REGISTRY, "x")


def test_a_preset_stands_before_whatever_ends_a_stack() -> None:
    graph = graph_of(
        ControlStackApply={"stack": ["2", 0]},
        ControlStackApplyConditioning={"stack": ["2", 0]},
        ControlStackSavePreset={"stack": ["1", 0]},
    )
    made = with_preset(graph, REGISTRY, "{}", "my.json").nodes
    assert made["2"].inputs["stack"] == Link("1", 0)
    both, alone = (node for node in made.values() if node.type == "ControlStackPreset")
    assert (both.inputs["stack"], alone.inputs["stack"]) == (Link("2", 0), Link("1", 0))
    assert both.inputs["preset"] == "{}"
    assert both.title == "my.json"
    for name in ("ControlStackApply", "ControlStackApplyConditioning"):
        assert made[name].inputs["stack"] == Link(both.id, 0)
    assert made["ControlStackSavePreset"].inputs["stack"] == Link(alone.id, 0)
    assert len(made) == len(graph.nodes) + 2


def test_a_graph_without_a_stack_is_refused() -> None:
    with pytest.raises(UserError, match="no stack to put the preset on"):
        with_preset(graph_of(ControlStackApply={}), REGISTRY, "{}", "my.json")


def test_a_preset_goes_between_the_rows_of_a_node_and_what_they_act_on() -> None:
    rows = {"rows": [{"id": 1, "file": "x"}]}
    document = {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {}},
        "on model": {
            "class_type": "ControlStackRows",
            "inputs": {"controls": rows, "model": ["model", 0], "record": True},
        },
        "on prompt": {
            "class_type": "ControlStackRows",
            "inputs": {"controls": rows, "positive": ["text", 0], "negative": ["text", 0]},
        },
        "run": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["on model", 0], "positive": ["on prompt", 2],
                "negative": ["on prompt", 3],
            },
        },
    }  # fmt: skip
    made = with_preset(read_workflow(document, REGISTRY, "x"), REGISTRY, "{}", "my.json").nodes
    sampler = made["run"].inputs
    apply, prompts = (made[sampler[name].node] for name in ("model", "positive"))
    assert (apply.type, prompts.type) == ("ControlStackApply", "ControlStackApplyConditioning")
    assert sampler["negative"] == Link(prompts.id, 1)
    assert apply.inputs["model"] == Link("model", 0)
    assert apply.inputs["record"] is True
    for node, name in ((apply, "on model"), (prompts, "on prompt")):
        preset = made[node.inputs["stack"].node]
        assert (preset.type, preset.inputs["stack"]) == ("ControlStackPreset", Link(name, 1))
        assert set(made[name].inputs) <= {"controls", "record"}
