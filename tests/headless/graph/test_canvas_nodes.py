"""The canvas's own nodes, where no recording tells: what is said, and what the packs did before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless import expressions
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.workflow import Graph, Link, parse, read_workflow
from tests.workflows.canvas.recorded import FOLDER


def graph_of(name: str, change: Any) -> Graph:
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    change(document)
    return parse(document, "wf.json").graph(default_registry())


def named(document: dict[str, Any], node_type: str) -> list[dict[str, Any]]:
    return [node for node in document["nodes"] if node["type"] == node_type]


def test_a_get_without_a_set_is_one_sentence() -> None:
    def rename(document: dict[str, Any]) -> None:
        named(document, "GetNode")[0]["widgets_values"] = ["gone"]

    with pytest.raises(UserError) as error:
        graph_of("set_get", rename)
    assert str(error.value) == (
        "wf.json: node 7 (GetNode) takes 'gone', which no SetNode sets: add one of that name, or "
        "choose another"
    )


def test_several_gets_without_a_set_are_said_at_once() -> None:
    def rename(document: dict[str, Any]) -> None:
        for node in named(document, "GetNode"):
            node["widgets_values"] = []

    with pytest.raises(UserError, match="3 nodes take what nothing sets"):
        graph_of("set_get", rename)


def test_a_get_that_nothing_takes_is_no_matter() -> None:
    def add(document: dict[str, Any]) -> None:
        document["nodes"].append({"id": 90, "type": "GetNode", "widgets_values": ["gone"]})

    assert "13" in graph_of("set_get", add).nodes


def test_a_set_that_takes_from_its_own_get_goes_in_a_circle() -> None:
    def loop(document: dict[str, Any]) -> None:
        for node in named(document, "GetNode"):
            node["widgets_values"] = ["again"]

    with pytest.raises(UserError, match="circle"):
        graph_of("set_get", loop)


def test_unknown_nodes_that_no_link_touches_block_nothing(
    registry: Registry, ui: dict[str, Any], make_node: Any
) -> None:
    ui["nodes"].append(make_node(9, "Somebody's Clock", [("time", "*", None)], ["*"], [1]))
    assert set(read_workflow(ui, registry, "wf.json").nodes) == {"1", "2", "3", "4"}
    ui["nodes"].append(make_node(10, "Somebody's Lamp", [("time", "*", 20)], [], None))
    ui["links"].append([20, 9, 0, 10, 0, "*"])
    assert {"9", "10"} < set(read_workflow(ui, registry, "wf.json").nodes)


def test_two_senders_of_one_priority_leave_an_input_open() -> None:
    def twice(document: dict[str, Any]) -> None:
        other = json.loads(json.dumps(named(document, "Anything Everywhere")[0]))
        other["id"] = 90
        document["nodes"].append(other)

    graph = graph_of("everywhere", twice)
    assert "clip" not in graph.nodes["3"].inputs
    assert (
        "node 3 (CLIPTextEncode): input clip is left open: 2 nodes send CLIP everywhere with one "
        "priority"
    ) in graph.notes


def test_a_muted_sender_sends_nothing() -> None:
    def mute(document: dict[str, Any]) -> None:
        named(document, "Anything Everywhere")[0]["mode"] = 2

    assert "clip" not in graph_of("everywhere", mute).nodes["3"].inputs


def test_links_that_were_saved_as_made_are_made_anew() -> None:
    def saved(document: dict[str, Any]) -> None:
        document["links"].append([77, 1, 1, 3, 0, "CLIP"])
        document["nodes"][2]["inputs"][0]["link"] = 77
        document["extra"]["links_added_by_ue"] = [77]
        document["nodes"].append({"id": 90, "type": "CheckpointLoaderSimple"})
        document["nodes"][-1]["outputs"] = [{"name": k, "type": k} for k in ("MODEL", "CLIP")]
        document["links"][1][1] = 90

    assert graph_of("everywhere", saved).nodes["3"].inputs["clip"] == Link("90", 1)


@pytest.mark.parametrize("expression", ["a{99999999999999}", "(" * 3000, "[", "*"])
def test_an_expression_that_is_none_restricts_nothing(expression: str) -> None:
    """As the pack has it; a count too high and nesting too deep are none either."""

    def rule(document: dict[str, Any]) -> None:
        properties = named(document, "Anything Everywhere")[0].setdefault("properties", {})
        properties["ue_properties"] = {"version": "7.0", "title_regex": expression}

    plain, ruled = graph_of("everywhere", lambda _: None), graph_of("everywhere", rule)
    assert ruled.nodes == plain.nodes


def test_an_expression_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "SECONDS", 0.1)

    def rule(document: dict[str, Any]) -> None:
        properties = named(document, "Anything Everywhere")[0].setdefault("properties", {})
        properties["ue_properties"] = {"version": "7.0", "title_regex": "(a|a)+$"}
        for node in document["nodes"]:
            node["title"] = "a" * 40 + "b"

    with pytest.raises(UserError, match=r"'\(a\|a\)\+\$' takes longer than 0.1 s"):
        graph_of("everywhere", rule)


@pytest.mark.parametrize("place", [[10**400, 0], {"0": 10**400}, "far", [None], {}])
def test_a_place_that_no_canvas_reaches(place: Any) -> None:
    def move(document: dict[str, Any]) -> None:
        sender = named(document, "Anything Everywhere")[0]
        sender["properties"] = {"ue_properties": {"version": "7.0", "group_restricted": 1}}
        document["groups"] = [{"title": "a", "bounding": [-10, -90, 400, 400]}]
        for node in document["nodes"]:
            node |= {"pos": place, "size": [100, 100]}

    # All lie at 0, inside the group.
    assert graph_of("everywhere", move).nodes["3"].inputs["clip"] == Link("1", 1)


def test_a_group_node_may_send_more_than_it_was_drawn_with() -> None:
    def send(document: dict[str, Any]) -> None:
        (group,) = (one for one in document["nodes"] if one["type"].startswith("workflow"))
        group["properties"] = {"ue_convert": True}
        group["outputs"] = []

    assert graph_of("group_nodes_menus", send).nodes


@pytest.mark.parametrize(
    ("title", "seed", "model"), [("Second", 4242, "b"), ("Another", 4242, "a")]
)
def test_senders_of_before_version_7(title: str, seed: int, model: str) -> None:
    """By reading the pack: rules stand in fields, a field takes part once it was made a slot."""

    def rule(document: dict[str, Any]) -> None:
        named(document, "Anything Everywhere?")[0]["widgets_values"] = [title, ".*", ".*"]

    graph = graph_of("everywhere_old", rule)
    first, second = graph.nodes["11"].inputs, graph.nodes["12"].inputs
    assert (first["seed"], second["seed"]) == (seed, 8)
    assert first["model"] == Link("1", 0)
    assert second["model"] == Link("2" if model == "b" else "1", 0)
    assert (second["positive"], second["negative"]) == (Link("5", 0), Link("6", 0))
    assert graph.nodes["13"].inputs["vae"] == Link("1", 2)
    assert first["latent_image"] == Link("8", 0)


@pytest.mark.parametrize("bad", [[], {"nodes": 3}, {"nodes": [1], "links": []}, {"nodes": []}])
def test_a_group_that_is_none(bad: Any) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["extra"]["groupNodes"]["Prompts"] = bad

    with pytest.raises(UserError, match="its group node 'Prompts'"):
        graph_of("group_nodes", spoil)


def test_a_group_s_link_to_nothing() -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["extra"]["groupNodes"]["Prompts"]["links"][0][2] = 99

    with pytest.raises(UserError, match="joins no two of its nodes"):
        graph_of("group_nodes", spoil)


def test_a_group_that_is_off_stays_off() -> None:
    def switched(mode: int) -> Any:
        def change(document: dict[str, Any]) -> None:
            named(document, "workflow>Text to picture")[0]["mode"] = mode
            named(document, "SaveImage")[0]["mode"] = 2

        return change

    with pytest.raises(UserError, match=r"nothing is left to run.*muted node 21;"):
        graph_of("group_nodes_menus", switched(2))
    assert graph_of("group_nodes_menus", switched(4)).nodes["13"].inputs["samples"] == Link("6", 0)


def test_a_link_into_a_field_that_was_made_a_slot_of_a_group() -> None:
    def link(document: dict[str, Any]) -> None:
        document["nodes"].append(
            {"id": 8, "type": "PrimitiveString", "widgets_values": ["from outside"]}
        )
        host = named(document, "workflow>Text to picture")[0]
        host["inputs"][-1]["link"] = 80
        document["links"].append([80, 8, 0, 9, 6, "STRING"])

    graph = graph_of("group_nodes_menus", link)
    assert graph.nodes["21:16"].inputs["text"] == Link("8", 0)
