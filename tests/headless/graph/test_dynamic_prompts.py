"""Dynamic prompts: what is chosen, what is cut, and that a run can be repeated."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.dynamic_prompts import MAX_DEPTH, Seeded, resolve
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.workflow import read_workflow
from tests.headless.graph.conftest import Encode


class DynamicEncode(Encode):
    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        text = ("STRING", {"multiline": True, "dynamicPrompts": True})
        return {"required": {"text": text, "clip": ("CLIP",)}}


@pytest.fixture
def registry(registry: Registry) -> Registry:
    classes = {name: registry.spec(name).cls for name in registry}
    return Registry({**classes, "Encode": DynamicEncode})


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a house", "a house", "a house"),
        ("{a|b} house", "a house", "b house"),
        ("{a|{b|c}}", "a", "c"),
        ("{a|b", "a", "b"),
        ("a}|b", "a}|b", "a}|b"),
        ("{|b}", "", "b"),
        ("{}", "", ""),
        (r"\{a\|b\}", "{a|b}", "{a|b}"),
        (r"{a\|b|c}", "a|b", "c"),
        (r"a\b", r"a\b", r"a\b"),
        ("a // b\nc", "a \nc", "a \nc"),
        ("a /* {b|\nc} */ d", "a  d", "a  d"),
        ("/* a", "/* a", "/* a"),
    ],
)
def test_the_first_and_the_last_choice(text: str, first: str, last: str) -> None:
    assert resolve(text, lambda: 0.0).text == first
    assert resolve(text, lambda: 1 - 2**-53).text == last


def test_choices_are_told_in_order() -> None:
    found = resolve("{a|{b|c}} and {d} {e|f}", lambda: 0.9)
    assert found.choices == (("{a|{b|c}}", "c"), ("{e|f}", "f"))


def test_blocks_without_end() -> None:
    with pytest.raises(UserError, match=f"more than {MAX_DEPTH}"):
        resolve("{" * (MAX_DEPTH + 5), lambda: 0.0)


def test_a_seed_chooses_the_same_again_and_every_option_at_some_time() -> None:
    draws = [Seeded(seed)("2.text") for seed in range(100)]
    chosen = [resolve("{a|b|c}", draw).text for draw in draws]
    assert chosen == [resolve("{a|b|c}", Seeded(seed)("2.text")).text for seed in range(100)]
    assert all(20 < chosen.count(one) < 50 for one in "abc")
    assert len({resolve("{a|b|c}", Seeded(3)(f"{node}.text")).text for node in range(20)}) == 3


def test_a_seed_knows_whether_anything_was_drawn() -> None:
    draws = Seeded(3)
    resolve("no block, \\{escaped\\}", draws("2.text"))
    assert not draws.used
    resolve("{a|b}", draws("2.text"))
    assert draws.used


def test_a_canvas_is_chosen_from_and_says_so(registry: Registry, ui: dict[str, Any]) -> None:
    ui["nodes"][1]["widgets_values"] = ["{a cat|a cat} // not a dog"]
    graph = read_workflow(ui, registry, "wf.json")
    assert graph.nodes["2"].inputs["text"] == "a cat "
    assert graph.notes == ("node 2 (Encode): input text takes 'a cat' of {a cat|a cat}",)


def test_what_was_sent_is_not_chosen_from_again(registry: Registry, api: dict[str, Any]) -> None:
    api["2"]["inputs"]["text"] = "{a|b} // c"
    graph = read_workflow(api, registry, "wf.json")
    assert graph.nodes["2"].inputs["text"] == "{a|b} // c"
    assert graph.notes == ()


def test_only_where_the_node_says_so(registry: Registry, ui: dict[str, Any]) -> None:
    ui["nodes"][3]["widgets_values"] = ["{a|b}"]
    assert read_workflow(ui, registry, "wf.json").nodes["4"].inputs["prefix"] == "{a|b}"
