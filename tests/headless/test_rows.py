"""ControlNet Stack makes the pictures of the nodes it stands for, to the bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from tests import cells, two_hosts
from tests.two_hosts import Run, embedded, graph_of

ROWS = {
    "version": 1,
    "rows": [
        {"id": 4, "file": cells.NETS[0], "strength": 0.9},
        {"id": 9, "on": False, "file": "gone.safetensors"},
        {"id": 2, "file": cells.NETS[1], "strength": 1.2, "start": 0.0, "end": 0.8, "open": True},
    ],
}
HINTS = {"hint_4": ["hint0", 0], "hint_2": ["hint1", 0]}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = two_hosts.write_files(tmp_path_factory.mktemp("rows"))
    return embedded(folder)


def with_rows(rows: Any = ROWS, **wires: Any) -> cells.Prompt:
    """Two controls as rows, on what `wires` say."""
    graph = cells.prompt(2)
    for name in ("add0", "add1", "apply"):
        del graph[name]
    graph["rows"] = cells.node("ControlStackRows", controls=rows, **HINTS, **wires)
    graph["sampler"]["inputs"]["model"] = ["rows", 0] if "model" in wires else ["checkpoint", 0]
    if "positive" in wires:
        graph["sampler"]["inputs"] |= {"positive": ["rows", 2], "negative": ["rows", 3]}
    return graph


def same(ours: Run, one: cells.Prompt, other: cells.Prompt) -> bool:
    return torch.equal(ours(graph_of(one)).latent, ours(graph_of(other)).latent)


def test_on_a_model(ours: Run) -> None:
    made = with_rows(model=["checkpoint", 0])
    assert same(ours, made, cells.prompt(2))
    weaker = copy.deepcopy(made)
    weaker["rows"]["inputs"]["controls"]["rows"][0]["strength"] = 0.5
    assert not same(ours, weaker, cells.prompt(2))


def test_on_prompts(ours: Run) -> None:
    made = with_rows(positive=["positive", 0], negative=["negative", 0])
    assert same(ours, made, cells.prompt(2, core=True))


def test_after_a_stack_and_with_a_wired_net(ours: Run) -> None:
    before, own = cells.prompt(2), copy.deepcopy(ROWS)
    own["rows"] = own["rows"][2:]
    del own["rows"][0]["file"]
    made = with_rows(own, model=["checkpoint", 0], stack=["add0", 0], control_net_2=["net1", 0])
    made["add0"] = before["add0"]
    assert same(ours, made, before)


def test_factors_are_those_of_their_nodes(ours: Run) -> None:
    rows = copy.deepcopy(ROWS)
    points = [[0.0, 1.0], [0.5, 1.0], [0.8, 0.0]]
    rows["rows"][0] |= {"curve": {"points": points, "between": "smooth"}, "blocks": "soft weights"}
    rows["rows"][2] |= {"sides": {"cond": 1.0, "uncond": 0.25}, "mode": "control is more important"}
    nodes = cells.prompt(2)
    nodes["curve"] = cells.node(
        "ControlStackCurve", preset="hold then release", points="", between="smooth", over="percent"
    )
    nodes["blocks"] = cells.node(
        "ControlStackBlocks", rule="soft weights", weights="", factor=["curve", 0]
    )
    nodes["sides"] = cells.node("ControlStackSides", cond=1.0, uncond=0.25)
    nodes["add0"]["inputs"]["factor"] = ["blocks", 0]
    nodes["add1"]["inputs"] |= {"factor": ["sides", 0], "mode": "control is more important"}
    made = with_rows(rows, model=["checkpoint", 0])
    assert same(ours, made, nodes)
    assert not same(ours, made, cells.prompt(2))


def test_what_is_wired_wrong_is_said(ours: Run) -> None:
    def says(graph: cells.Prompt, sentence: str) -> None:
        with pytest.raises(UserError, match=sentence):
            ours(graph_of(graph))

    both = with_rows(model=["checkpoint", 0], positive=["positive", 0])
    both["sampler"]["inputs"]["negative"] = ["negative", 0]
    says(both, "every control would act twice")
    lost = with_rows(model=["checkpoint", 0])
    lost["sampler"]["inputs"]["positive"] = ["rows", 2]
    says(lost, "its output positive is used, and nothing is wired to its input positive")
    bare = with_rows(model=["checkpoint", 0])
    del bare["rows"]["inputs"]["hint_2"]
    says(bare, "row 3: it is on and has no hint: wire a picture to hint_2, or switch the row off")
    gone = copy.deepcopy(ROWS)
    gone["rows"][1]["on"] = True
    says(with_rows(gone, model=["checkpoint", 0]), "row 2: .*gone.safetensors")
