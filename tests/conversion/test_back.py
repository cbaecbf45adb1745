"""A ControlNet Stack becomes other nodes, and there and back gives the same graph."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlstack.conversion.convert import convert
from tests.conversion.graphs import Prompt, added, applied, drawn, meant, node, same

CURVE = {"preset": "points", "points": "0:1, 0.5:0.25, 1:0", "between": "smooth", "over": "percent"}


def by_core(prompt: Prompt) -> Any:
    """There and back to ComfyUI's own nodes."""
    return convert(convert(prompt).document, "core").document


@pytest.mark.parametrize("count", [1, 3])
def test_there_and_back_through_the_core_s_nodes(count: int) -> None:
    assert same(by_core(applied(count))) == same(applied(count))
    graph = applied(count, vae=["1", 2])
    assert same(by_core(graph)) == same(graph)
    made = by_core(drawn(graph))
    assert same(meant(made)) == same(graph)


def test_a_union_s_type_goes_there_and_back() -> None:
    graph = applied(1)
    graph["50"] = node("SetUnionControlNetType", control_net=["30", 0], type="depth")
    graph["20"]["inputs"]["control_net"] = ["50", 0]
    assert same(by_core(graph)) == same(graph)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("on", ["model", "prompts"])
def test_there_and_back_through_add_control(count: int, on: str) -> None:
    graph = added(
        count,
        mode="prompt is more important",
        area_hint="whole",
        frames="hold",
        union_type="depth",
        enabled=True,
        vae=["1", 2],
    )
    if on == "prompts":
        graph["8"] = node(
            "ControlStackApplyConditioning",
            positive=["2", 0],
            negative=["3", 0],
            stack=graph["8"]["inputs"]["stack"],
        )
        graph["9"]["inputs"] |= {"model": ["1", 0], "positive": ["8", 0], "negative": ["8", 1]}
    there = convert(graph)
    assert [one["class_type"] for one in there.document.values()].count("ControlStackRows") == 1
    assert "ControlStackApply" not in str(there.document)
    assert same(convert(there.document, "nodes").document) == same(graph)
    back = convert(convert(drawn(graph)).document, "nodes").document
    assert same(meant(back)) == same(graph)


def test_factors_there_and_back() -> None:
    graph = with_factors()
    there = convert(graph).document
    [stack] = [one["inputs"] for one in there.values() if one["class_type"] == "ControlStackRows"]
    [row] = stack["controls"]["rows"]
    assert row["curve"] == {"points": [[0, 1], [0.5, 0.25], [1, 0]], "between": "smooth"}
    assert row["sides"] == {"cond": 1.0, "uncond": 0.5}
    assert row["blocks"] == "first half:0.5"
    assert stack["factor_1"] == ["50", 0]
    assert row["sockets"] == ["factor"]
    assert same(convert(there, "nodes").document) == same(graph)


def with_factors() -> Prompt:
    """Add ControlNet behind factors of which a row has the last three itself."""
    graph = added(
        1, mode="balanced", area_hint="whole", frames="repeat", union_type="auto", enabled=True
    )
    graph |= {
        "50": node("ControlStackSteps", first=0, last=5),
        "51": node("ControlStackCurve", **CURVE, factor=["50", 0]),
        "52": node("ControlStackSides", cond=1.0, uncond=0.5, factor=["51", 0]),
        "53": node(
            "ControlStackBlocks", rule="weights", weights="first half:0.5", factor=["52", 0]
        ),
    }
    graph["20"]["inputs"]["factor"] = ["53", 0]
    return graph


def test_factors_that_a_row_has_not_stay_wired() -> None:
    graph = with_factors()
    graph["51"]["inputs"]["over"] = "steps"
    there = convert(graph).document
    assert there["51"] == graph["51"]
    assert "52" not in there
    graph = with_factors()
    graph["52"], graph["51"] = (
        node("ControlStackCurve", **CURVE, factor=["51", 0]),
        node("ControlStackSides", cond=1.0, uncond=0.5, factor=["50", 0]),
    )
    there = convert(graph).document
    assert there["51"] == graph["51"], "a row's sides act after its curve"
    assert "52" not in there


def test_off_rows() -> None:
    graph = applied(2)
    graph = convert(drawn(graph, n20=4)).document
    back = convert(graph, "nodes").document
    adds = {k: v["inputs"] for k, v in meant(back).items() if v["class_type"] == "ControlStackAdd"}
    assert [one["enabled"] for one in adds.values()] == [False, True]
    core = convert(graph, "core").document
    modes = [one["mode"] for one in core["nodes"] if one["type"] == "ControlNetApplyAdvanced"]
    assert modes == [4, 0]
    assert same(meant(convert(core).document)) == same(meant(graph))
    prompt = meant(graph)
    converted = convert(prompt, "core")
    assert "row 1, which is off, is left out" in converted.done[1]


def test_a_row_without_a_hint_that_is_off() -> None:
    graph = convert(applied(2)).document
    [stack] = [one for one in graph.values() if one["class_type"] == "ControlStackRows"]
    stack["inputs"]["controls"]["rows"][0]["on"] = False
    del stack["inputs"]["hint_1"]
    converted = convert(graph, "nodes")
    types = [one["class_type"] for one in converted.document.values()]
    assert types.count("ControlStackAdd") == 1
    assert "row 1, which is off and lacks a hint or a net, is left out" in converted.done[1]
    made = convert(convert(drawn(graph), "nodes").document)
    assert same(meant(made.document)) == same(graph)


def test_what_the_core_lacks_is_listed_and_nothing_is_changed() -> None:
    graph = convert(applied(1)).document
    [stack] = [one for one in graph.values() if one["class_type"] == "ControlStackRows"]
    stack["inputs"]["controls"]["rows"][0] |= {"mode": "control is more important", "blocks": "x:1"}
    stack["inputs"] |= {"mask_1": ["77", 0], "record": True}
    converted = convert(graph, "core")
    assert converted.document == graph
    [said] = converted.left
    for what in ("mask of row 1", "mode control is more important of row 1", "blocks of row 1"):
        assert what in said
    assert "record" in said
    graph = convert(added(1)).document
    [said] = convert(graph, "core").left
    assert "its model input" in said


def test_rows_of_a_later_version_stay() -> None:
    graph = convert(applied(1)).document
    [stack] = [one for one in graph.values() if one["class_type"] == "ControlStackRows"]
    stack["inputs"]["controls"]["version"] = 2
    for to in ("nodes", "core"):
        converted: Any = convert(graph, to)
        assert converted.document == graph
        assert "not of version 1" in converted.left[0]


def test_two_stacks_in_a_row_and_a_use_of_the_list() -> None:
    graph = added(3)
    graph["60"] = node("ControlStackTimeline", model=["1", 0], stack=["21", 0])
    there = convert(graph).document
    stacks = {k: v for k, v in there.items() if v["class_type"] == "ControlStackRows"}
    assert [len(v["inputs"]["controls"]["rows"]) for v in stacks.values()] == [2, 1]
    back = convert(there, "nodes").document
    assert same(filled(back)) == same(filled(graph))
    assert same(filled(back), "60") == same(filled(graph), "60")
    first = next(iter(stacks))
    there["99"] = node("Other", cnet_stack=[first, 4])
    converted = convert(there, "nodes")
    assert "its output control_net_stack is used" in converted.left[0]


def filled(graph: Prompt) -> Prompt:
    """With Add ControlNet's defaults."""
    graph = copy.deepcopy(graph)
    for one in graph.values():
        if one["class_type"] == "ControlStackAdd":
            plain = {"mode": "balanced", "area_hint": "whole", "frames": "repeat"}
            one["inputs"] = {**plain, "union_type": "auto", "enabled": True, **one["inputs"]}
    return graph


def test_new_nodes_do_not_lie_on_one_another() -> None:
    made = convert(convert(drawn(with_factors())).document, "nodes").document
    ours = [one for one in made["nodes"] if one["type"].startswith("ControlStack")]
    boxes = [(*one["pos"], one["pos"][0] + one["size"][0], one["pos"][1] + one["size"][1])
             for one in ours if one["id"] > 53]  # fmt: skip
    assert len(boxes) >= 6
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[index + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
