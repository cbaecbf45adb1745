"""How large a hint is: as its picture, as a latent's or another's, or by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as NODES
from controlstack.nodes.widgets import defaults
from controlstack.preprocessors.registry import PREPROCESSORS

PICTURE = torch.rand(2, 40, 60, 3, generator=torch.Generator().manual_seed(0))
LATENT = {"samples": torch.zeros(1, 4, 5, 7)}
POSE = '{"people": []}'


def size(node: str, **inputs: Any) -> tuple[int, int]:
    """Height and width of the hint of PICTURE, or of POSE."""
    given: dict[str, Any] = {"image": PICTURE}
    if node == "ControlStackDrawPose":
        given = {"pose_json": POSE, "width": 24, "height": 16}
    if node == "ControlStackHint":
        given["preprocessor"] = "tile"
    if node == "ControlStackInpaint":
        given["mask"] = torch.zeros(1, 40, 60)
    made = NODES[node]().make(**{**given, **inputs})
    hint, *_ = made["result"] if isinstance(made, dict) else made
    return tuple(hint.shape[1:3])


@pytest.mark.parametrize("node", ["ControlStackCanny", "ControlStackHint", "ControlStackInpaint"])
def test_a_hint_has_the_size_that_is_asked_for(node: str) -> None:
    assert size(node) == (40, 60)
    assert size(node, width=96, height=72) == (72, 96)
    assert size(node, width=30) == (20, 30), "the other by the picture's shape"
    assert size(node, height=80) == (80, 120)
    assert size(node, size_of=torch.zeros(1, 33, 55, 3)) == (33, 55)
    assert size(node, width=96, height=72, latent=LATENT) == (40, 56), "a wire wins"
    assert size(node, width=96, size_of=torch.zeros(1, 33, 55, 3)) == (33, 55)


def test_a_pose_may_have_a_picture_s_size_too() -> None:
    assert size("ControlStackDrawPose") == (16, 24)
    assert size("ControlStackDrawPose", size_of=torch.zeros(4, 9, 8, 3)) == (9, 8)


def test_two_wires_that_say_a_size_are_refused() -> None:
    with pytest.raises(UserError, match=r"canny: latent and size_of both say how large .* unplug"):
        size("ControlStackCanny", latent=LATENT, size_of=PICTURE)


def test_a_size_of_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UserError, match="1 x 40 x 60"):
        size("ControlStackCanny", size_of=torch.zeros(1, 40, 60))


def test_the_smallest_size_by_hand_has_a_pixel_each_way() -> None:
    assert size("ControlStackCanny", width=1) == (1, 1)


@pytest.mark.parametrize("entry", PREPROCESSORS.values(), ids=lambda entry: entry.name)
def test_sizes_are_the_last_widgets_and_change_nothing(entry: Any) -> None:
    """Saved workflows have their widgets by place."""
    inputs = NODES[entry.node].INPUT_TYPES()
    if entry.takes == "pose":
        assert "width" in inputs["required"]
        return
    assert list(inputs["optional"])[-2:] == ["width", "height"]
    assert {name: defaults(inputs)[name] for name in ("width", "height")} == {
        "width": 0,
        "height": 0,
    }
