"""What the canvas draws and what it means: muted, bypassed, rerouted, primitive, subgraphs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import Graph, Link, read_workflow


def read(document: dict[str, Any], registry: Registry) -> Graph:
    graph = read_workflow(document, registry, "wf.json")
    validate(graph, registry)
    return graph


def between(ui: dict[str, Any], node: dict[str, Any]) -> None:
    """Put `node` (id 9) between the loader's MODEL and the sampler."""
    ui["nodes"].append(node)
    ui["links"] = [link for link in ui["links"] if link[0] != 2]
    ui["links"] += [[2, 9, 0, 3, 0, "MODEL"], [9, 1, 0, 9, 0, "MODEL"]]


def test_reroutes_are_followed(registry: Registry, ui: dict[str, Any], make_node: Any) -> None:
    between(ui, make_node(9, "Reroute", [("", "*", 9)], ["MODEL"], None))
    graph = read(ui, registry)
    assert graph.nodes["3"].inputs["model"] == Link("1", 0)
    assert "9" not in graph.nodes


def test_an_open_reroute_is_a_missing_input(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    between(ui, make_node(9, "Reroute", [("", "*", None)], ["MODEL"], None))
    with pytest.raises(UserError, match=r"node 3 'First pass' \(Sampler\): input model \(MODEL\)"):
        read(ui, registry)


def test_reroutes_in_a_circle(registry: Registry, ui: dict[str, Any], make_node: Any) -> None:
    between(ui, make_node(9, "Reroute", [("", "*", 5)], ["MODEL"], None))
    ui["links"].append([5, 9, 0, 9, 0, "MODEL"])
    with pytest.raises(UserError, match="circle"):
        read(ui, registry)


def test_a_bypassed_node_hands_its_input_on(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    inputs = [("mask", "MASK", None), ("model", "MODEL", 9)]
    between(ui, make_node(9, "Patch", inputs, ["MODEL"], [0.5], mode=4))
    assert read(ui, registry).nodes["3"].inputs["model"] == Link("1", 0)


def test_a_bypassed_node_without_such_an_input(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    between(ui, make_node(9, "Patch", [("clip", "CLIP", 9)], ["MODEL"], [0.5], mode=4))
    with pytest.raises(UserError, match=r"input model \(MODEL\) is missing"):
        read(ui, registry)


def test_a_muted_node_takes_what_needs_it(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    second = make_node(
        7,
        "Sampler",
        [("model", "MODEL", 7), ("positive", "CONDITIONING", 8)],
        ["LATENT"],
        [1, "fixed", 5, "heun"],
        mode=2,
    )
    ui["nodes"] += [second, make_node(8, "Save", [("latent", "LATENT", 9)], [], ["second"])]
    ui["links"] += [
        [7, 1, 0, 7, 0, "MODEL"],
        [8, 2, 0, 7, 1, "CONDITIONING"],
        [9, 7, 0, 8, 0, "LATENT"],
    ]
    graph = read(ui, registry)
    assert set(graph.nodes) == {"1", "2", "3", "4"}
    assert graph.notes == ("node 8 (Save) is left out: it needs node 7, which is muted",)


def test_a_muted_node_behind_an_optional_input_is_only_cut_off(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    inputs = [("model", "MODEL", 9), ("mask", "MASK", 10)]
    between(ui, make_node(9, "Patch", inputs, ["MODEL"], [0.5]))
    ui["nodes"].append(make_node(10, "Mask", [], ["MASK"], [True], mode=2))
    ui["links"].append([10, 10, 0, 9, 1, "MASK"])
    graph = read(ui, registry)
    assert graph.nodes["9"].inputs == {"strength": 0.5, "model": Link("1", 0)}


def test_muting_all_there_is(registry: Registry, ui: dict[str, Any]) -> None:
    ui["nodes"][0]["mode"] = 2
    with pytest.raises(UserError, match=r"nothing is left to run.*muted node 1;"):
        read(ui, registry)


@pytest.mark.parametrize("mode", [0, 2, 4])
def test_a_primitive_node_gives_its_value(
    registry: Registry, ui: dict[str, Any], make_node: Any, mode: int
) -> None:
    """Also muted or bypassed: the front end writes it into the field before it looks at modes."""
    ui["nodes"].append(make_node(9, "PrimitiveNode", [], ["INT"], [42, "fixed"], mode=mode))
    widget = {"name": "my seed", "type": "INT", "link": 20, "widget": {"name": "seed"}}
    ui["nodes"][2]["inputs"].append(widget)
    ui["links"].append([20, 9, 0, 3, 2, "INT"])
    assert read(ui, registry).nodes["3"].inputs["seed"] == 42


def test_a_primitive_node_writes_into_no_reroute(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    ui["nodes"].append(make_node(9, "PrimitiveNode", [], ["INT"], [42, "fixed"]))
    ui["nodes"].append(make_node(10, "Reroute", [("", "*", 20)], ["INT"], None))
    widget = {"name": "seed", "type": "INT", "link": 21, "widget": {"name": "seed"}}
    ui["nodes"][2]["inputs"].append(widget)
    ui["links"] += [[20, 9, 0, 10, 0, "INT"], [21, 10, 0, 3, 2, "INT"]]
    assert read(ui, registry).nodes["3"].inputs["seed"] == 7


def test_notes_and_unlinked_decoration_vanish(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    ui["nodes"] += [
        make_node(9, "Note", [], [], ["read me"]),
        make_node(10, "MarkdownNote", [], [], ["# read me"]),
        make_node(11, "Label (rgthree)", [], [], None),
    ]
    assert set(read(ui, registry).nodes) == {"1", "2", "3", "4"}


@pytest.mark.parametrize(
    ("values", "seed", "steps", "sampler"),
    [
        ([7, "randomize", 20, "heun"], 7, 20, "heun"),
        ([7, True, 20, "heun"], 7, 20, "heun"),  # the oldest files
        ([7, 20, "heun"], 7, 20, "heun"),  # no control field behind the seed
        ([7, "fixed"], 7, 20, "euler"),  # fields that came later: their defaults
        ([7, None, "heun"], 7, 20, "heun"),
        ({"seed": 7, "sampler": "heun"}, 7, 20, "heun"),
        (None, 0, 20, "euler"),
        ([], 0, 20, "euler"),
    ],
)
def test_fields_by_position(
    registry: Registry, ui: dict[str, Any], values: Any, seed: int, steps: int, sampler: str
) -> None:
    ui["nodes"][2]["widgets_values"] = values
    inputs = read(ui, registry).nodes["3"].inputs
    assert (inputs["seed"], inputs["steps"], inputs["sampler"]) == (seed, steps, sampler)


def test_fields_by_name_win(registry: Registry, ui: dict[str, Any]) -> None:
    ui["nodes"][2]["widgets_values_named"] = {"steps": 9}
    inputs = read(ui, registry).nodes["3"].inputs
    assert (inputs["seed"], inputs["steps"]) == (7, 9)


def test_the_canvas_keeps_fields_of_its_own_by_name(registry: Registry, ui: dict[str, Any]) -> None:
    ui["nodes"][2]["widgets_values_named"] = {"steps": 9, "control_after_generate": "fixed"}
    assert "control_after_generate" not in read(ui, registry).nodes["3"].inputs


def test_a_link_that_is_not_there(registry: Registry, ui: dict[str, Any]) -> None:
    without_link, without_node = copy.deepcopy(ui), copy.deepcopy(ui)
    del without_link["links"][1]
    with pytest.raises(UserError, match=r"node 3 \(Sampler\) is fed by link 2, which is not there"):
        read(without_link, registry)
    without_node["nodes"][2]["inputs"][0]["link"] = 5
    without_node["links"].append([5, 77, 0, 3, 0, "MODEL"])
    with pytest.raises(UserError, match="link 5 comes from node 77, which is not there"):
        read(without_node, registry)


def test_a_subgraph_is_opened(registry: Registry, nested: dict[str, Any]) -> None:
    graph = read(nested, registry)
    assert set(graph.nodes) == {"1", "4", "12:2", "12:3"}
    assert graph.nodes["4"].inputs["latent"] == Link("12:3", 0)
    assert graph.nodes["12:3"].inputs["model"] == Link("1", 0)
    assert graph.nodes["12:3"].inputs["positive"] == Link("12:2", 0)
    assert graph.nodes["12:2"].inputs["clip"] == Link("1", 1)


@pytest.mark.parametrize(
    ("values", "proxies", "text", "seed"),
    [
        (["a cat", 7], None, "a cat", 7),
        (["a cat", 7, "randomize"], None, "a cat", 7),
        (["a cat", 7, ["x"]], None, "a cat", 7),
        ({"seed": 8}, None, "inner text", 8),
        ([], None, "inner text", 1),
        ([], [["2", "text"], ["3", "seed"]], "inner text", 1),
        (["x", 5], [["2", "text"], ["3", "seed"]], "x", 5),
        ([5, "x"], [["-1", "seed"], ["-1", "text"]], "x", 5),
        (
            [5, "fixed", 9],
            [["3", "seed"], ["3", "control_after_generate"], ["3", "steps"]],
            None,
            5,
        ),
    ],
)
def test_fields_a_subgraph_shows(
    registry: Registry,
    nested: dict[str, Any],
    values: Any,
    proxies: Any,
    text: str | None,
    seed: int,
) -> None:
    host = nested["nodes"][1]
    host["widgets_values"] = values
    if proxies is not None:
        host["properties"] = {"proxyWidgets": proxies}
    graph = read(nested, registry)
    assert graph.nodes["12:2"].inputs["text"] == (text or "inner text")
    assert graph.nodes["12:3"].inputs["seed"] == seed
    if text is None:
        assert graph.nodes["12:3"].inputs["steps"] == 9


def test_a_field_of_a_subgraph_fed_from_outside(
    registry: Registry, nested: dict[str, Any], make_node: Any
) -> None:
    nested["nodes"].append(make_node(30, "PrimitiveNode", [], ["INT"], [55, "fixed"]))
    nested["nodes"][1]["inputs"].append({"name": "seed", "type": "INT", "link": 30})
    nested["links"].append([30, 30, 0, 12, 3, "INT"])
    assert read(nested, registry).nodes["12:3"].inputs["seed"] == 1  # as the front end sends
    nested["nodes"][-1].update(type="Numbers", widgets_values=[2])
    assert read(nested, registry).nodes["12:3"].inputs["seed"] == Link("30", 0)


def test_two_copies_of_a_subgraph(
    registry: Registry, nested: dict[str, Any], make_node: Any
) -> None:
    copy_of = copy.deepcopy(nested["nodes"][1])
    copy_of.update(id=13, widgets_values=["a dog", 8])
    copy_of["inputs"][0]["link"], copy_of["inputs"][1]["link"] = 21, 22
    nested["nodes"] += [copy_of, make_node(5, "Save", [("latent", "LATENT", 23)], [], ["out"])]
    nested["links"] += [[21, 1, 0, 13, 0, "*"], [22, 1, 1, 13, 1, "*"], [23, 13, 0, 5, 0, "*"]]
    graph = read(nested, registry)
    assert graph.nodes["12:2"].inputs["text"] == "a cat"
    assert graph.nodes["13:2"].inputs["text"] == "a dog"
    assert graph.nodes["5"].inputs["latent"] == Link("13:3", 0)


def wrap(nested: dict[str, Any], make_node: Any) -> None:
    """Put the subgraph of `nested` inside another one, whose fields and slots it hands on."""
    inner_host = make_node(
        6, "sub", [("model", "MODEL", 1), ("clip", "CLIP", 2)], ["LATENT"], ["mid", 2]
    )
    inner_host["inputs"].append(
        {"name": "text", "type": "STRING", "link": 3, "widget": {"name": "text"}}
    )
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    links = [(1, -10, 0, 6, 0), (2, -10, 1, 6, 1), (3, -10, 2, 6, 2), (4, 6, 0, -20, 0)]
    inputs = [("model", "MODEL"), ("clip", "CLIP"), ("text", "STRING")]
    nested["definitions"]["subgraphs"].append(
        {
            "id": "outer",
            "name": "Outer",
            "inputs": [{"name": name, "type": kind} for name, kind in inputs],
            "outputs": [{"name": "LATENT", "type": "LATENT"}],
            "nodes": [inner_host],
            "links": [dict(zip(keys, link, strict=True)) for link in links],
        }
    )
    nested["nodes"][1].update(type="outer", widgets_values=["outermost"])


def test_subgraphs_inside_subgraphs(
    registry: Registry, nested: dict[str, Any], make_node: Any
) -> None:
    wrap(nested, make_node)
    graph = read(nested, registry)
    assert set(graph.nodes) == {"1", "4", "12:6:2", "12:6:3"}
    assert graph.nodes["4"].inputs["latent"] == Link("12:6:3", 0)
    assert graph.nodes["12:6:2"].inputs == {"text": "outermost", "clip": Link("1", 1)}
    assert graph.nodes["12:6:3"].inputs["seed"] == 2


def test_a_subgraph_that_holds_itself(registry: Registry, nested: dict[str, Any]) -> None:
    definition = nested["definitions"]["subgraphs"][0]
    definition["nodes"].append({"id": 99, "type": "sub"})
    with pytest.raises(UserError, match="'Text to latent' holds itself"):
        read(nested, registry)


def test_subgraphs_that_multiply(registry: Registry) -> None:
    definitions = [
        {"id": f"s{level}", "nodes": [{"id": n, "type": f"s{level + 1}"} for n in range(10)]}
        for level in range(10)
    ]
    document = {
        "nodes": [{"id": 1, "type": "s0"}],
        "definitions": {"subgraphs": definitions},
    }
    with pytest.raises(UserError, match="more than 20000 nodes"):
        read_workflow(document, registry, "wf.json")


@pytest.mark.parametrize("mode", [2, 4])
def test_a_subgraph_that_is_off(registry: Registry, nested: dict[str, Any], mode: int) -> None:
    nested["nodes"][1]["mode"] = mode
    with pytest.raises(UserError, match=r"muted node 12;|input latent \(LATENT\) is missing"):
        read(nested, registry)
    inner = nested["definitions"]["subgraphs"][0]["nodes"]
    assert len(inner) == 2


def test_a_node_inside_a_subgraph_is_muted(registry: Registry, nested: dict[str, Any]) -> None:
    nested["definitions"]["subgraphs"][0]["nodes"][1]["mode"] = 2
    with pytest.raises(UserError, match="muted node 12:3"):
        read(nested, registry)
