"""Hints on their nodes: saved where somebody can look, else not even turned into pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
import torch
from PIL.Image import Image

from controlstack.headless.host import EmbeddedHost
from controlstack.hosts import host
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as NODES
from controlstack.nodes.seen import seen


class Looking(EmbeddedHost):
    """A host that shows three pictures at most."""

    def __init__(self) -> None:
        self.pictures: list[Image] = []

    def shown(self, pictures: Iterable[Image]) -> list[Mapping[str, str]]:
        self.pictures = [picture for picture, _ in zip(pictures, range(3), strict=False)]
        return [{"filename": f"{n}.png"} for n in range(len(self.pictures))]


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("ControlStackTile", {"image": torch.rand(2, 8, 8, 3)}),
        ("ControlStackHint", {"image": torch.rand(2, 8, 8, 3), "preprocessor": "tile"}),
    ],
)
def test_a_hint_is_on_its_node_where_the_host_shows_pictures(
    node: str, inputs: dict[str, object]
) -> None:
    (plain,) = NODES[node]().make(**inputs)
    with host.use(looking := Looking()):
        answer = NODES[node]().make(**inputs)
    assert answer["ui"] == {"images": [{"filename": "0.png"}, {"filename": "1.png"}]}
    assert torch.equal(answer["result"][0], plain)
    for picture, hint in zip(looking.pictures, plain, strict=True):
        assert np.array_equal(np.asarray(picture), (hint * 255).round().byte().numpy())


def test_what_marks_a_hole_is_shown_black() -> None:
    with host.use(looking := Looking()):
        seen(torch.full((1, 2, 2, 3), -1.0))
    assert np.asarray(looking.pictures[0]).max() == 0


def test_further_results_come_after_the_hint() -> None:
    with host.use(Looking()):
        assert seen(torch.zeros(9, 2, 2, 3), "text")["result"][1] == "text"


def test_where_nobody_looks_no_picture_is_made(
    place: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlstack.nodes.seen.Image.fromarray", lambda _: pytest.fail("made"))
    hints = torch.zeros(1, 2, 2, 3)
    assert seen(hints, "text") == (hints, "text")


def test_a_hint_node_is_no_output_node() -> None:
    """An output runs in every queue, also where the line that uses its hint is off."""
    assert not any(getattr(node, "OUTPUT_NODE", False) for node in NODES.values())
