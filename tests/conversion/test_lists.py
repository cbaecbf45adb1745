"""Lists of other packs (CONTROL_NET_STACK) become a ControlNet Stack."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.conversion.convert import convert
from tests.conversion.graphs import Prompt, applied, drawn, meant, node, same


def stacks(document: Any) -> list[dict[str, Any]]:
    return [one["inputs"] for one in document.values() if one["class_type"] == "ControlStackRows"]


def efficiency(count: int = 2) -> Prompt:
    """`applied` by efficiency-nodes."""
    graph = applied(count)
    before: dict[str, Any] = {}
    for index in range(count):
        inputs = graph[str(20 + index)]["inputs"]
        del inputs["positive"], inputs["negative"]
        graph[str(20 + index)] = node("Control Net Stacker", **inputs, **before)
        before = {"cnet_stack": [str(20 + index), 0]}
    graph["8"] = node("Apply ControlNet Stack", positive=["2", 0], negative=["3", 0], **before)
    graph["9"]["inputs"] |= {"positive": ["8", 0], "negative": ["8", 1]}
    return graph


def comfyroll(switch: str = "On") -> Prompt:
    """Three by Comfyroll, the second off, the third without a picture."""
    graph = applied(1)
    inputs: dict[str, Any] = {"image_1": ["40", 0], "image_2": ["40", 0]}
    for number in (1, 2, 3):
        inputs |= {
            f"switch_{number}": "Off" if number == 2 else "On",
            f"controlnet_{number}": f"net{number}.safetensors",
            f"controlnet_strength_{number}": 0.5,
            f"start_percent_{number}": 0.1,
            f"end_percent_{number}": 0.9,
        }
    graph["20"] = node("CR Multi-ControlNet Stack", **inputs)
    graph["8"] = node(
        "CR Apply Multi-ControlNet",
        base_positive=["2", 0],
        base_negative=["3", 0],
        switch=switch,
        controlnet_stack=["20", 0],
    )
    graph["9"]["inputs"] |= {"positive": ["8", 0], "negative": ["8", 1]}
    return graph


def test_efficiency_s_chain_is_that_of_the_core() -> None:
    made = convert(efficiency())
    assert same(made.document) == same(convert(applied()).document)
    assert same(meant(convert(drawn(efficiency())).document)) == same(made.document)


def test_a_list_that_goes_elsewhere_still_does() -> None:
    graph = efficiency()
    del graph["8"]
    graph["9"]["inputs"] |= {"positive": ["2", 0], "negative": ["3", 0]}
    graph["60"] = node("Efficient Loader", cnet_stack=["21", 0])
    graph["61"] = node("ControlStackApply", model=["1", 0], stack=["21", 0])
    made = convert(graph).document
    [stack] = stacks(made)
    assert "positive" not in stack
    assert made["60"]["inputs"]["cnet_stack"][1] == 4
    assert made["61"]["inputs"]["stack"][1] == 1


@pytest.mark.parametrize(("switch", "first"), [("On", True), ("Off", False)])
def test_comfyroll(switch: str, first: bool) -> None:
    graph = comfyroll(switch)
    made = convert(graph).document
    [stack] = stacks(made)
    assert [row["on"] for row in stack["controls"]["rows"]] == [first, False, False]
    assert [row["file"] for row in stack["controls"]["rows"]] == [
        f"net{number}.safetensors" for number in (1, 2, 3)
    ]
    assert (stack["hint_1"], stack["hint_2"]) == (["40", 0], ["40", 0])
    assert "hint_3" not in stack
    graph["20"]["inputs"]["controlnet_2"] = "None"
    [stack] = stacks(convert(graph).document)
    assert len(stack["controls"]["rows"]) == 2


def test_what_comfyroll_has_more_is_said() -> None:
    graph = comfyroll()
    graph["60"] = node("ShowText", text=["20", 1])
    graph["20"]["inputs"]["controlnet_strength_1"] = -0.5
    converted = convert(graph)
    assert converted.document == graph
    assert "its output show_help is used" in converted.left[0]
    assert "controlnet_strength_1 is -0.5" in converted.left[0]


def test_easy_use_goes_where_it_can() -> None:
    graph = applied(1)
    graph["20"] = node(
        "easy controlnetStack",
        toggle=True,
        mode="simple",
        num_controlnet=1,
        controlnet_1="net.safetensors",
        controlnet_1_strength=0.5,
        start_percent_1=0.2,
        end_percent_1=0.4,
        image_1=["40", 0],
    )
    graph["9"]["inputs"] |= {"positive": ["2", 0], "negative": ["3", 0]}
    graph["8"] = node("ControlStackApply", model=["1", 0], stack=["20", 0])
    [stack] = stacks(convert(graph).document)
    [row] = stack["controls"]["rows"]
    assert (row["file"], row["strength"], row["start"], row["end"]) == (
        *("net.safetensors", 0.5),
        *(0.0, 1.0),
    )
    graph["20"]["inputs"]["scale_soft_weight_1"] = 0.8
    graph["60"] = node("easy controlnetStackApply", controlnet_stack=["20", 0])
    converted = convert(graph)
    assert converted.document == graph
    assert "scale_soft_weight_1 has no equal" in converted.left[0]
    assert "takes Easy-Use's own form of list" in converted.left[0]
