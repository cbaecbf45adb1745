"""The widgets of all our nodes: on their grids, and left out of a prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.nodes import NODE_CLASS_MAPPINGS as MAPPINGS
from controlstack.nodes.widgets import defaults, filled
from controlstack.preprocessors.registry import EXACT, PREPROCESSORS
from controlstack.preprocessors.spec import Preprocessor
from tests.grids import off_grid

NODES: dict[str, Any] = dict(MAPPINGS)
PICTURE = torch.rand(1, 20, 30, 3, generator=torch.Generator().manual_seed(0)) / 2
"""Dark enough to be a label map, too."""

each = pytest.mark.parametrize("node_id", NODES)
VALUES = ("INT", "FLOAT", "STRING", "BOOLEAN")


@each
def test_every_number_lies_on_its_own_grid(node_id: str) -> None:
    assert list(off_grid(NODES[node_id].INPUT_TYPES())) == []


def test_what_is_off_its_grid_is_found() -> None:
    sizes = {"required": {"width": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 8})}}
    assert len(list(off_grid(sizes))) == 6
    share = {"optional": {"a": ("FLOAT", {"default": 0.5, "min": 0.01, "max": 1, "step": 0.01})}}
    assert list(off_grid(share)) == []
    share["optional"]["a"][1]["default"] = 0.505  # type: ignore[index]
    assert list(off_grid(share)) == ["a: 0.505 is not 0.01 + k * 0.01"]


def _made(node_id: str) -> Any:
    """The class behind a node that is made when it is first asked for."""
    return type(NODES[node_id]())


@each
def test_every_optional_widget_has_a_default_that_the_node_is_given(
    node_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = _made(node_id)
    widgets = {
        name
        for name, (kind, words) in node.INPUT_TYPES().get("optional", {}).items()
        if (isinstance(kind, list) or kind in VALUES) and not words.get("forceInput")
    }
    given = defaults(node.INPUT_TYPES())
    assert given.keys() == widgets
    call = getattr(node, node.FUNCTION)
    assert not widgets or hasattr(call, "__wrapped__"), "the class is not decorated"
    seen: dict[str, Any] = {}

    class Bare(node):  # type: ignore[misc]  # any of the node classes
        pass

    setattr(Bare, node.FUNCTION, lambda self, **inputs: seen.update(inputs))
    getattr(filled(Bare)(), node.FUNCTION)()
    assert seen == given


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("entry", EXACT, ids=lambda entry: entry.name)
def test_a_hint_node_runs_with_its_required_inputs_alone(entry: Preprocessor) -> None:
    inputs = NODES[entry.node].INPUT_TYPES()["required"]
    given = {
        name: PICTURE[..., 0] if name == "mask" else options.get("default", PICTURE)
        for name, (_, options) in inputs.items()
    }
    asked = NODES[entry.node].INPUT_TYPES()["optional"]
    every = {**given, **defaults({"optional": asked})}
    made = [NODES[entry.node]().make(**inputs) for inputs in (given, every)]
    hint, again = ((one["result"] if isinstance(one, dict) else one)[0] for one in made)
    assert hint.shape == again.shape
    assert bool((hint == again).all())


@pytest.mark.usefixtures("models")
def test_a_check_knows_what_was_left_out_from_what_a_link_brings() -> None:
    """High is 200 where it is left out, and not known yet where it is None."""
    canny = NODES["ControlStackCanny"].VALIDATE_INPUTS
    assert "200" in canny(low_threshold=250)
    assert canny(low_threshold=250, high_threshold=None) is True
    depth = NODES["ControlStackDepth"].VALIDATE_INPUTS
    name = PREPROCESSORS["depth"].learning.models[0].name  # type: ignore[union-attr]
    assert "allow the download" in depth(model=name)
    assert "allow the download" in depth(model=name, download=False)
    assert depth(model=name, download=None) is True
    for node_id in ("ControlStackHint", "ControlStackFidelity"):
        check = NODES[node_id].VALIDATE_INPUTS
        assert "allow the download" in check(preprocessor="depth")
        assert check(preprocessor="depth", download=None) is True


def test_a_value_of_the_prompt_wins() -> None:
    @filled
    class Node:
        FUNCTION = "run"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"optional": {"a": ("INT", {"default": 3}), "b": ("IMAGE", {})}}

        def run(self, x: int, *, a: int, b: Any = None) -> tuple[int, int, Any]:
            return x, a, b

    run: Any = Node().run
    assert run(1) == (1, 3, None)
    assert run(x=1, a=4, b=5) == (1, 4, 5)
