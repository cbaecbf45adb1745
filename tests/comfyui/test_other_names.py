"""ComfyUI's own check of a prompt takes other packs' names, which its menus do not list."""

from __future__ import annotations

import asyncio
import inspect
from types import ModuleType
from typing import Any

import pytest

from controlstack.nodes import EVERY_NODE
from controlstack.nodes.hints import WITH_SETTINGS

SIZE = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
PICTURE = {"class_type": "EmptyImage", "inputs": SIZE}
BOTH = {"images": ["1", 0], "hint": ["1", 0]}
HED, LERES = "HEDPreprocessor", "LeReS-DepthMapPreprocessor"
TILE = {"preprocessor": "TilePreprocessor", "preprocessor.down_sampling_rate": 2.0}


@pytest.fixture
def execution(comfy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """ComfyUI's module that checks prompts, with this pack's nodes."""
    import execution as module

    import nodes

    for kind, node in EVERY_NODE.items():
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, kind, node)
    return module


def _checked(execution: Any, kind: str, inputs: dict[str, Any]) -> tuple[bool, list[str]]:
    prompt = {"1": PICTURE, "2": {"class_type": kind, "inputs": inputs}}
    ids = inspect.signature(execution.validate_inputs).parameters
    found = execution.validate_inputs(*(["p"] if "prompt_id" in ids else []), prompt, "2", {})
    answer = asyncio.run(found) if inspect.isawaitable(found) else found
    return answer[0], [error["details"] for error in answer[1]]


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("ControlStackHint", {"image": ["1", 0], "preprocessor": "CannyEdgePreprocessor"}),
        (WITH_SETTINGS, {"image": ["1", 0], **TILE}),
        ("ControlStackFidelity", {**BOTH, "preprocessor": "canny edge"}),
        ("ControlStackTrainingData", {"path": "x", "condition": HED}),
    ],
)
def test_a_name_that_no_menu_lists_is_taken(
    execution: Any, kind: str, inputs: dict[str, Any]
) -> None:
    assert _checked(execution, kind, inputs) == (True, [])


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("ControlStackHint", {"image": ["1", 0], "preprocessor": LERES}),
        (WITH_SETTINGS, {"image": ["1", 0], "preprocessor": LERES}),
        ("ControlStackFidelity", {**BOTH, "preprocessor": LERES}),
        ("ControlStackTrainingData", {"path": "x", "condition": LERES}),
    ],
)
def test_one_without_an_equal_is_refused_in_a_sentence(
    execution: Any, kind: str, inputs: dict[str, Any]
) -> None:
    passed, said = _checked(execution, kind, inputs)
    assert not passed
    assert f"{LERES} has no equal here: its network is another; the nearest is depth." in said[0]


@pytest.mark.parametrize("kind", [WITH_SETTINGS])
def test_settings_below_such_a_name_are_passed_on(execution: Any, kind: str) -> None:
    given = execution.get_input_data(dict(TILE), EVERY_NODE[kind], "2")
    given = given[0] if isinstance(given, tuple) else given
    assert {name: value[0] for name, value in given.items() if name in TILE} == TILE
