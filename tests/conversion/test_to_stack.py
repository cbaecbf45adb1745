"""Chains on prompts become a ControlNet Stack, in both forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlstack.conversion.convert import Converted, Node, convert
from controlstack.conversion.known import EMPTY_ROWS
from controlstack.ground.errors import UserError
from tests.conversion.graphs import (
    Prompt,
    added,
    applied,
    check_links,
    drawn,
    meant,
    node,
    same,
    single,
)


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    """What `applied` becomes."""
    return [
        {
            "id": index + 1,
            "on": True,
            "file": f"net{index}.safetensors",
            "strength": 0.5 + index / 10,
            "start": 0.1 * index,
            "end": 0.9,
            "open": False,
            "sockets": [],
            **changes,
        }
        for index in range(count)
    ]


def stacks(document: Any) -> list[dict[str, Any]]:
    """The inputs of each ControlNet Stack."""
    return [one["inputs"] for one in document.values() if one["class_type"] == "ControlStackRows"]


def types(document: Any) -> list[str]:
    return sorted(one["class_type"] for one in document.values())


def both(prompt: Prompt, **modes: int) -> tuple[Any, Converted]:
    """Converted in the API form; the drawn form gives the same graph."""
    before = json.dumps(prompt)
    converted = convert(prompt)
    assert json.dumps(prompt) == before, "what was given is changed"
    other = convert(drawn(prompt, **modes))
    assert same(meant(other.document)) == same(converted.document)
    assert [len(converted.done), len(converted.left)] == [len(other.done), len(other.left)]
    return converted.document, converted


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_chain_of_apply_nodes(count: int) -> None:
    made, converted = both(applied(count))
    [stack] = stacks(made)
    assert stack["controls"] == {**EMPTY_ROWS, "rows": rows(count)}
    assert (stack["positive"], stack["negative"]) == (["2", 0], ["3", 0])
    assert stack[f"hint_{count}"] == [str(39 + count), 0]
    assert "ControlNetApplyAdvanced" not in types(made)
    assert "ControlNetLoader" not in types(made)
    sampler = made["9"]["inputs"]
    assert sampler["positive"][1:] + sampler["negative"][1:] == [2, 3]
    [said] = converted.done
    assert f"became {count} row" in said


@pytest.mark.parametrize(
    "kind",
    ["ControlNetApplySD3", "ACN_AdvancedControlNetApply", "ACN_AdvancedControlNetApply_v2"],
)
def test_other_apply_nodes_of_two_prompts(kind: str) -> None:
    made, _ = both(applied(2, kind))
    assert stacks(made)[0]["controls"]["rows"] == rows(2)


def test_a_vae_and_a_mask_come_along() -> None:
    graph = applied(2, "ACN_AdvancedControlNetApply_v2", vae_optional=["1", 2])
    graph["50"] = node("LoadImageMask", image="m.png", channel="red")
    graph["21"]["inputs"]["mask_optional"] = ["50", 0]
    [stack] = stacks(both(graph)[0])
    assert stack["vae"] == ["1", 2]
    assert stack["mask_2"] == ["50", 0]
    assert stack["controls"]["rows"][1]["sockets"] == ["mask"]


def test_what_has_no_equal_is_named_and_stays() -> None:
    graph = applied(2, "ACN_AdvancedControlNetApply_v2")
    graph["50"] = node("ACN_TimestepKeyframe")
    graph["21"]["inputs"] |= {"timestep_kf": ["50", 0], "strength": ["51", 0]}
    graph["51"] = node("PrimitiveFloat", value=1.0)
    converted = convert(graph)
    assert converted.document == graph
    [said] = converted.left
    assert "timestep_kf has no equal" in said
    assert "its strength comes through a wire" in said
    graph = applied(1, "ACN_AdvancedControlNetApply_v2")
    graph["30"] = node("ControlNetLoaderAdvanced", timestep_keyframe=["50", 0])
    graph["50"] = node("ACN_TimestepKeyframe")
    [said] = convert(graph).left
    assert "timestep_keyframe has no equal" in said


def test_a_loader_that_others_use_stays_and_is_wired() -> None:
    graph = applied(2)
    graph["50"] = node("SomethingElse", control_net=["30", 0])
    made, _ = both(graph)
    [stack] = stacks(made)
    assert [row["file"] for row in stack["controls"]["rows"]] == [None, "net1.safetensors"]
    assert stack["control_net_1"] == ["30", 0]
    assert made["50"]["inputs"]["control_net"] == ["30", 0]


def test_a_loader_of_two_rows_goes() -> None:
    graph = applied(2)
    graph["21"]["inputs"]["control_net"] = ["30", 0]
    made, _ = both(graph)
    [stack] = stacks(made)
    assert [row["file"] for row in stack["controls"]["rows"]] == ["net0.safetensors"] * 2
    assert "30" not in made


def test_a_union_net_s_type_goes_into_its_row() -> None:
    graph = applied(2)
    graph["50"] = node("SetUnionControlNetType", control_net=["30", 0], type="depth")
    graph["20"]["inputs"]["control_net"] = ["50", 0]
    graph["21"]["inputs"]["control_net"] = ["50", 0]
    del graph["31"]
    made, _ = both(graph)
    assert [row["union_type"] for row in stacks(made)[0]["controls"]["rows"]] == ["depth"] * 2
    assert types(made) == types(convert(applied(2)).document)


def test_another_source_of_a_net_stays() -> None:
    graph = applied(1)
    graph["30"] = node("DiffControlNetLoader", model=["1", 0])
    made, _ = both(graph)
    assert stacks(made)[0]["control_net_1"] == ["30", 0]


def test_a_prompt_in_mid_chain_that_is_used_elsewhere_splits_it() -> None:
    graph = applied(3)
    graph["9b"] = node("Show", positive=["20", 0])
    graph["60"] = graph.pop("9b")
    made, converted = both(graph)
    first, second = stacks(made)
    assert [len(one["controls"]["rows"]) for one in (first, second)] == [1, 2]
    assert second["positive"] == [made["60"]["inputs"]["positive"][0], 2]
    assert len(converted.done) == 2


def test_two_samplers_under_one_chain_share_it() -> None:
    graph = applied(2)
    graph["60"] = json.loads(json.dumps(graph["9"]))
    made, _ = both(graph)
    [_] = stacks(made)
    assert made["60"]["inputs"]["positive"] == made["9"]["inputs"]["positive"]


def test_bypassed_nodes_are_rows_that_are_off() -> None:
    graph = drawn(applied(3), n21=4)
    made = convert(graph)
    [stack] = stacks(meant(made.document))
    assert [row["on"] for row in stack["controls"]["rows"]] == [True, False, True]
    assert "hint_2" in stack
    assert [one["title"] for one in made.document["groups"]] == ["mine"]


def test_a_muted_node_breaks_a_chain_and_it_stays() -> None:
    graph = drawn(applied(2), n20=2)
    made = convert(graph)
    assert (made.done, made.document["nodes"]) == ((), graph["nodes"])
    [said] = made.left
    assert "what feeds its positive is muted" in said


@pytest.mark.parametrize("name", ["control_net", "image", "negative"])
def test_a_missing_wire_is_said(name: str) -> None:
    graph = applied(1)
    del graph["20"]["inputs"][name]
    made, converted = both(graph)
    assert made == graph
    assert f"nothing is wired to its {name}" in converted.left[0]


def test_what_a_row_cannot_hold_is_said() -> None:
    graph = applied(1)
    graph["20"]["inputs"]["strength"] = -1.0
    [said] = convert(graph).left
    assert "its strength is -1.0, and a row takes 0 to 10" in said


def rerouted(at: str, *names: str) -> dict[str, Any]:
    """`applied` drawn with a reroute before inputs of a node."""
    graph = drawn(applied(2))
    [target] = [one for one in graph["nodes"] if one["id"] == int(at)]
    for name in names:
        [slot] = [one for one in target["inputs"] if one["name"] == name]
        [link] = [one for one in graph["links"] if one[0] == slot["link"]]
        number, new = graph["last_node_id"] + 1, graph["last_link_id"] + 1
        graph["links"].append([new, number, 0, link[3], link[4], "*"])
        link[3:5] = [number, 0]
        slot["link"] = new
        graph["nodes"].append(
            {
                "id": number,
                "type": "Reroute",
                "mode": 0,
                "pos": [0, 0],
                "inputs": [{"name": "", "type": "*", "link": link[0]}],
                "outputs": [{"name": "", "type": "*", "links": [new]}],
            }
        )
        graph["last_node_id"], graph["last_link_id"] = number, new
    return graph


def test_reroutes_within_a_chain_go_and_others_stay() -> None:
    made = convert(rerouted("21", "positive", "negative"))
    assert same(meant(made.document)) == same(convert(applied(2)).document)
    assert "Reroute" not in [one["type"] for one in made.document["nodes"]]
    made = convert(rerouted("21", "image"))
    assert same(meant(made.document)) == same(convert(applied(2)).document)
    made = convert(rerouted("9", "positive"))
    assert same(meant(made.document)) == same(convert(applied(2)).document)
    made = convert(rerouted("20", "control_net"))
    [stack] = stacks(meant(made.document))
    assert stack["control_net_1"] == ["30", 0]


def test_too_many_rows_are_several_nodes() -> None:
    graph = applied(1)
    for index in range(17):
        graph[str(100 + index)] = json.loads(json.dumps(graph["20"]))
        before = "20" if index == 0 else str(99 + index)
        graph[str(100 + index)]["inputs"] |= {"positive": [before, 0], "negative": [before, 1]}
    graph["9"]["inputs"] |= {"positive": ["116", 0], "negative": ["116", 1]}
    made, _ = both(graph)
    sizes = [(len(one["controls"]["rows"]), "positive" in one) for one in stacks(made)]
    assert sizes == [(16, False), (2, True)]


def test_different_vaes_are_several_nodes() -> None:
    graph = applied(3)
    graph["50"] = node("VAELoader", vae_name="v")
    graph["20"]["inputs"]["vae"] = ["1", 2]
    graph["21"]["inputs"]["vae"] = ["50", 0]
    made, _ = both(graph)
    assert [one["vae"] for one in stacks(made)] == [["1", 2], ["50", 0]]


class TestOneConditioning:
    def test_on_a_sampler_it_acts_on_both_prompts(self) -> None:
        made, _ = both(single(2))
        [stack] = stacks(made)
        assert (stack["positive"], stack["negative"]) == (["2", 0], ["3", 0])
        assert made["9"]["inputs"]["negative"][1] == 3
        assert [row["end"] for row in stack["controls"]["rows"]] == [1.0, 1.0]

    def test_where_the_negative_has_its_own_it_acts_on_one(self) -> None:
        graph = single(1)
        graph["60"] = json.loads(json.dumps(graph["20"]))
        graph["60"]["inputs"]["conditioning"] = ["3", 0]
        graph["9"]["inputs"]["negative"] = ["60", 0]
        made, _ = both(graph)
        first, second = stacks(made)
        assert "negative" not in first
        assert "negative" not in second
        assert made["9"]["inputs"]["negative"][1] == 2

    def test_before_an_apply_node_of_two_it_acts_on_the_prompt_alone(self) -> None:
        graph = applied(2)
        inputs = graph["20"]["inputs"]
        graph["20"]["class_type"] = "ControlNetApply"
        inputs["conditioning"] = inputs.pop("positive")
        del inputs["negative"], inputs["start_percent"], inputs["end_percent"]
        graph["21"]["inputs"]["negative"] = ["3", 0]
        made, _ = both(graph)
        first, second = stacks(made)
        assert "negative" not in first
        assert "negative" in second

    @pytest.mark.parametrize("end", ["BasicGuider", "ConditioningCombine"])
    def test_other_ends(self, end: str) -> None:
        graph = single(1)
        graph["9"]["inputs"]["positive"] = ["2", 0]
        name = "conditioning" if end == "BasicGuider" else "conditioning_1"
        graph["60"] = node(end, **{name: ["20", 0]})
        converted = convert(graph)
        if end == "BasicGuider":
            assert "negative" not in stacks(converted.document)[0]
        else:
            assert converted.document == graph
            assert "whether it acts on the negative prompt is not known" in converted.left[0]

    def test_several_prompts_or_areas_stay(self) -> None:
        graph = single(1)
        graph["50"] = node("ConditioningSetArea", conditioning=["3", 0])
        graph["9"]["inputs"]["negative"] = ["50", 0]
        converted = convert(graph)
        assert converted.document == graph
        assert "whether its negative prompt is one prompt" in converted.left[0]

    def test_two_samplers_with_other_negatives_stay(self) -> None:
        graph = single(1)
        graph["60"] = json.loads(json.dumps(graph["9"]))
        graph["60"]["inputs"]["negative"] = ["2", 0]
        converted = convert(graph)
        assert converted.document == graph
        assert "several samplers" in converted.left[0]


def test_one_chain_alone() -> None:
    graph = applied(1)
    other = added(1)
    graph |= {str(int(key) + 1000): one for key, one in other.items()}
    for key, one in graph.items():
        if int(key) >= 1000:
            for name, value in one["inputs"].items():
                if isinstance(value, list):
                    one["inputs"][name] = [str(int(value[0]) + 1000), value[1]]
    made = convert(graph, only=Node("1020"))
    assert len(stacks(made.document)) == 1
    assert made.document["20"] == graph["20"]
    assert made.new == tuple(k for k, one in made.document.items() if "Rows" in one["class_type"])
    with pytest.raises(UserError, match=r"node 9 \(KSampler\) is no part of a chain"):
        convert(graph, only=Node("9"))
    with pytest.raises(UserError, match="no node '5'"):
        convert(graph, only=Node("5"))


def with_subgraph(field: str = "") -> dict[str, Any]:
    """`applied(1)` with apply node and loader in a subgraph, whose node shows `field`."""
    graph = drawn(applied(1))
    taken = {one["id"]: one for one in graph["nodes"] if one["id"] in (20, 30)}
    apply = taken[20]
    slots = {one["name"]: number for number, one in enumerate(apply["inputs"])}
    kept, inner = [], []
    outer_inputs = ["positive", "negative", "image"]
    instance: dict[str, Any] = {
        "id": 70,
        "type": "sub-1",
        "mode": 0,
        "pos": [0, 0],
        "inputs": [{"name": name, "type": "*", "link": None} for name in outer_inputs],
        "outputs": [{"name": name, "type": "CONDITIONING", "links": []} for name in ("p", "n")],
        "properties": {"proxyWidgets": [["20", field]]} if field else {},
        "widgets_values": [],
    }
    sub: dict[str, Any] = {
        "id": "sub-1",
        "name": "control",
        "version": 1,
        "state": {"lastNodeId": 0, "lastLinkId": 0, "lastGroupId": 0, "lastRerouteId": 0},
        "inputNode": {"id": -10, "bounding": [0, 0, 1, 1]},
        "outputNode": {"id": -20, "bounding": [0, 0, 1, 1]},
        "inputs": [{"id": n, "name": n, "type": "*", "linkIds": []} for n in outer_inputs],
        "outputs": [{"id": n, "name": n, "type": "CONDITIONING", "linkIds": []} for n in "pn"],
        "nodes": list(taken.values()),
        "links": inner,
    }

    def add(origin: int, slot: int, target: int, target_slot: int) -> int:
        number = 500 + len(inner)
        inner.append(
            {
                "id": number,
                "origin_id": origin,
                "origin_slot": slot,
                "target_id": target,
                "target_slot": target_slot,
                "type": "*",
            }
        )
        return number

    for one in taken.values():
        for item in one["outputs"]:
            item["links"] = []
    for link in graph["links"]:
        number, origin, slot, target, target_slot, _ = link
        if origin == 30:
            new = add(30, 0, 20, target_slot)
            apply["inputs"][target_slot]["link"] = new
            taken[30]["outputs"][0]["links"] = [new]
        elif target == 20:
            name = apply["inputs"][target_slot]["name"]
            place = outer_inputs.index(name)
            new = add(-10, place, 20, slots[name])
            apply["inputs"][target_slot]["link"] = new
            sub["inputs"][place]["linkIds"] = [new]
            link[3:5] = [70, place]
            instance["inputs"][place]["link"] = number
            kept.append(link)
        elif origin == 20:
            new = add(20, slot, -20, slot)
            apply["outputs"][slot]["links"] = [new]
            sub["outputs"][slot]["linkIds"] = [new]
            link[1] = 70
            instance["outputs"][slot]["links"] = [number]
            kept.append(link)
        else:
            kept.append(link)
    graph["links"] = kept
    graph["nodes"] = [one for one in graph["nodes"] if one["id"] not in taken] + [instance]
    graph["last_node_id"] = 70
    graph["definitions"] = {"subgraphs": [sub]}
    return graph


def test_inside_a_subgraph() -> None:
    graph = with_subgraph()
    check_links(graph["definitions"]["subgraphs"][0])
    made = convert(graph)
    assert same(meant(made.document)) == same(convert(applied(1)).document)
    [inner] = made.document["definitions"]["subgraphs"]
    assert [one["type"] for one in inner["nodes"]] == ["ControlStackRows"]
    assert inner["state"]["lastNodeId"] == made.document["last_node_id"] == inner["nodes"][0]["id"]
    assert made.done[0].startswith("in the subgraph 'control', node 20")
    alone = convert(graph, only=Node("20", "sub-1"))
    assert alone.document == made.document
    with pytest.raises(UserError, match="no node '20'"):
        convert(graph, only=Node("20"))


def test_a_field_that_a_subgraph_node_shows_stays() -> None:
    graph = with_subgraph("strength")
    made = convert(graph)
    assert made.document["definitions"] == graph["definitions"]
    assert "its strength is shown on a subgraph's node" in made.left[0]


@pytest.mark.parametrize("document", [{}, {"a": 1}, {"nodes": [1]}, {"nodes": [{"type": "x"}]}])
def test_what_is_no_workflow_is_said(document: Any) -> None:
    with pytest.raises(UserError, match="workflow"):
        convert(document)


def test_links_that_are_none_are_said() -> None:
    graph = drawn(applied(1))
    graph["links"].append([1, 2])
    with pytest.raises(UserError, match="a link that is none"):
        convert(graph)


def test_nodes_that_feed_one_another_stay() -> None:
    prompt = applied(2)
    ids = [key for key, one in prompt.items() if one["class_type"] == "ControlNetApplyAdvanced"]
    prompt[ids[0]]["inputs"]["positive"] = [ids[1], 0]
    converted = convert(prompt)
    assert not converted.done
    assert "in a circle" in converted.left[0]
