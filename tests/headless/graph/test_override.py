"""`--set NODE.INPUT=VALUE`."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.workflow import read_workflow


@pytest.mark.parametrize(
    ("target", "text", "node", "name", "value"),
    [
        ("3.seed", "8", "3", "seed", 8),
        ("First pass.steps", "5", "3", "steps", 5),
        ("Sampler.sampler", "heun", "3", "sampler", "heun"),
        ("2.text", "", "2", "text", ""),
        ("2.text", "12", "2", "text", "12"),
    ],
)
def test_values_are_typed_by_the_node(
    registry: Registry,
    api: dict[str, Any],
    target: str,
    text: str,
    node: str,
    name: str,
    value: Any,
) -> None:
    graph = read_workflow(api, registry, "x")
    changed = override(graph, registry, target, text)
    assert changed.nodes[node].inputs[name] == value
    assert type(changed.nodes[node].inputs[name]) is type(value)
    assert graph.prompt() == read_workflow(api, registry, "x").prompt()


@pytest.mark.parametrize(
    ("target", "text", "said"),
    [
        ("seed", "8", "write NODE.INPUT"),
        ("3.", "8", "write NODE.INPUT"),
        ("99.seed", "8", "there is no node '99'"),
        ("3.cfg", "8", "has no input 'cfg'; it has model, seed, steps"),
        ("3.steps", "many", "input steps is 'many', but has to be a whole number"),
        ("3.steps", "1e3", "has to be a whole number"),
        ("3.steps", "500", "has to be from 1 to 100"),
        ("3.sampler", "foo", "one of: euler, heun"),
        ("3.model", "x", "takes a link of type MODEL"),
    ],
)
def test_what_does_not_fit(
    registry: Registry, api: dict[str, Any], target: str, text: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        override(read_workflow(api, registry, "x"), registry, target, text)


@pytest.mark.parametrize("name", ["Encode", "The words"])
def test_a_type_or_title_of_several_nodes_means_all(
    registry: Registry, api: dict[str, Any], name: str
) -> None:
    title = {} if name == "Encode" else {"_meta": {"title": name}}
    api["2"] |= title
    api["5"] = {**api["2"], "inputs": dict(api["2"]["inputs"])}
    graph = read_workflow(api, registry, "x")
    changed = override(graph, registry, f"{name}.text", "a dog")
    assert [changed.nodes[node].inputs["text"] for node in ("2", "5")] == ["a dog", "a dog"]
    assert changed.notes == (f"{name}.text is set at 2 nodes: 2, 5",)
    one = override(changed, registry, "5.text", "a cat")
    assert [one.nodes[node].inputs["text"] for node in ("2", "5")] == ["a dog", "a cat"]
    assert one.notes == changed.notes


def test_a_type_comes_before_a_title_of_the_same_words(
    registry: Registry, api: dict[str, Any]
) -> None:
    api["3"]["_meta"] = {"title": "Encode"}
    changed = override(read_workflow(api, registry, "x"), registry, "Encode.text", "a dog")
    assert changed.nodes["2"].inputs["text"] == "a dog"


def test_a_node_inside_a_subgraph(registry: Registry, nested: dict[str, Any]) -> None:
    graph = read_workflow(nested, registry, "x")
    changed = override(graph, registry, "12:3.seed", "5")
    assert changed.nodes["12:3"].inputs["seed"] == 5
    assert changed.workflow is None
    with pytest.raises(UserError, match=r"node 12 is a subgraph; .*: node 12:2 \(Encode\), node"):
        override(graph, registry, "12.seed", "5")


def test_the_canvas_follows(registry: Registry, ui: dict[str, Any]) -> None:
    changed = override(read_workflow(ui, registry, "x"), registry, "3.steps", "5")
    assert changed.workflow is not None
    again = read_workflow(changed.workflow, registry, "x")
    assert again.prompt() == changed.prompt()
    assert ui["nodes"][2]["widgets_values"] == [7, "randomize", 20, "euler"]


def test_a_canvas_that_keeps_the_value_elsewhere_is_left_out(
    registry: Registry, ui: dict[str, Any]
) -> None:
    widget = {"name": "seed", "type": "INT", "link": 9, "widget": {"name": "seed"}}
    ui["nodes"][2]["inputs"].append(widget)
    ui["nodes"].append({"id": 9, "type": "PrimitiveNode", "widgets_values": [42, "fixed"]})
    ui["links"].append([9, 9, 0, 3, 2, "INT"])
    graph = read_workflow(ui, registry, "x")
    assert graph.nodes["3"].inputs["seed"] == 42
    changed = override(graph, registry, "3.seed", "8")
    assert changed.nodes["3"].inputs["seed"] == 8
    assert changed.workflow is None
