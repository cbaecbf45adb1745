"""The rows of ControlNet Stack as they are written, and the steps that the page asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from controlstack.conversion.known import MOST_ROWS
from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.model_patch.factors import Span
from controlstack.nodes import steps as steps_module
from controlstack.nodes.rows import rows_of
from controlstack.nodes.rows_node import SOCKETS, ControlStackRows
from controlstack.nodes.steps import remember, steps

PLAIN = {"id": 1, "on": True, "file": "pose.safetensors", "strength": 1.0, "start": 0.0, "end": 1.0}


def test_what_is_left_out_is_as_in_add_control() -> None:
    (row,) = rows_of({"rows": [{}]})
    assert (row.id, row.on, row.file, row.strength, row.span) == (1, True, None, 1.0, Span())
    assert (row.mode, row.union_type, row.frames, row.area_hint) == (
        *("balanced", "auto", "repeat", "whole"),
    )
    assert row.factors == ()
    assert rows_of(json.dumps({"version": 1, "rows": [PLAIN]})) == rows_of({"rows": [PLAIN]})


def test_what_the_front_end_adds_is_let_be() -> None:
    drawn = {**PLAIN, "open": True, "sockets": ["mask"], "hue": 7}
    assert rows_of({"version": 1, "timeline": True, "rows": [drawn]}) == rows_of({"rows": [PLAIN]})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{", "the rows are no JSON: Expecting property name"),
        ([PLAIN], 'the rows are .*; write {"version": 1, "rows": '),
        ({"version": 2, "rows": []}, "version 2, and this ControlStack reads version 1; update"),
        (
            {"rows": [PLAIN] * 100},
            f"there are 100 rows, and one node holds {MOST_ROWS}; put the others",
        ),
        ({"rows": [PLAIN, PLAIN]}, "row 2 has the id 1, as another row above it"),
        ({"rows": [PLAIN, 3]}, "row 2: it is 3, and has to be an object"),
        ({"rows": [{"id": 17}]}, "row 1: its id is 17; it has to be a whole number from 1 to 16"),
        ({"rows": [{"strength": "1"}]}, "row 1: its strength is '1'; it has to be a number"),
        ({"rows": [{"strength": 11}]}, "row 1: its strength is 11; it has to be from 0 to 10"),
        ({"rows": [{"strength": 10**400}]}, "row 1: its strength is .*; it has to be from 0 to 10"),
        ({"rows": [{"end": float("nan")}]}, "row 1: its end is nan; it has to be from 0 to 1"),
        ({"rows": [{"on": 1}]}, "row 1: its on is 1; it has to be true or false"),
        ({"rows": [{"mode": "loud"}]}, "row 1: its mode is 'loud'; it has to be one of: balanced"),
        ({"rows": [{"file": 3}]}, "row 1: its file is 3; it has to be a text"),
        ({"rows": [{"curve": [1]}]}, "row 1: its curve is .*; it has to be {"),
        ({"rows": [{"curve": {"points": [[0, 1, 2]]}}]}, r"of points \[place, strength\]"),
        ({"rows": [{"curve": {"points": []}}]}, "row 1: a curve needs points"),
        ({"rows": [{"curve": {"points": [[1, 1], [0, 1]]}}]}, "row 1: the places of a curve have"),
        ({"rows": [{"blocks": "attic:1"}]}, "row 1: .*attic"),
        ({"rows": [{"sides": {"cond": -1}}]}, "row 1: its sides is .*; it has to be from 0 to 10"),
    ],
)
def test_what_is_wrong_is_said_of_its_row(value: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        rows_of(value)
    assert re.search(sentence, str(ControlStackRows.VALIDATE_INPUTS(value)))


def test_only_what_rows_that_are_on_need_is_made() -> None:
    rows = [{**PLAIN, "id": 1}, {**PLAIN, "id": 2, "on": False}, {**PLAIN, "id": 3, "file": None}]
    wires = {f"{kind}_{row}": None for row in (1, 2, 3) for kind in SOCKETS}
    asked = ControlStackRows().check_lazy_status({"rows": rows}, model=None, stack=None, **wires)
    assert {name for name in asked if name.endswith("_2")} == set()
    assert {name for name in asked if name.endswith("_1")} == {
        f"{kind}_1" for kind in SOCKETS if kind != "control_net"
    }
    assert {name for name in asked if name.endswith("_3")} == {f"{kind}_3" for kind in SOCKETS}
    ready = ControlStackRows().check_lazy_status({"rows": rows[:1]}, hint_1=torch.zeros(1))
    assert ready == []


def test_a_file_is_loaded_once_and_let_go_with_its_row(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from controlstack.hosts import host

    loaded: list[str] = []
    fake: Any = host.current()

    def load(name: str) -> Any:
        loaded.append(name)
        return SimpleNamespace()

    monkeypatch.setattr(type(fake), "load_control_net", lambda self, name: load(name))
    node, hint = ControlStackRows(), torch.rand(1, 8, 8, 3)

    def run(**fields: Any) -> Any:
        return node.apply({"rows": [{**PLAIN, **fields}]}, hint_1=hint)["result"][1]

    first, again = run(), run(strength=0.5)
    assert loaded == ["pose.safetensors"]
    assert first[0].net is again[0].net
    assert (again[0].name, again[0].file) == ("control 1 (pose.safetensors)", "pose.safetensors")
    run(file="depth.safetensors")
    run()
    assert loaded == ["pose.safetensors", "depth.safetensors", "pose.safetensors"]


def test_steps_lie_where_the_schedule_has_them(place: Path) -> None:
    told = steps({"steps": 20, "scheduler": "normal"})
    assert not told["exact"]
    assert len(told["percents"]) == 21
    assert told["percents"][0] == pytest.approx(0.0, abs=1e-3)
    assert told["percents"][-1] == 1.0
    cut = steps({"steps": 20, "scheduler": "normal", "first": 5, "last": 12})
    assert cut["percents"] == told["percents"][5:13]
    part = steps({"steps": 10, "scheduler": "normal", "denoise": 0.5})
    assert part["percents"] == told["percents"][10:]


def test_a_model_that_has_run_is_known_again(place: Path) -> None:
    sampling = DiscreteSampling.from_betas(zero_terminal_snr=True)
    model = SimpleNamespace(get_model_object=lambda name: sampling)
    word = remember(model)
    assert remember(model) == word
    told = steps({"steps": 5, "scheduler": "karras", "model": word})
    assert told["exact"]
    assert told != steps({"steps": 5, "scheduler": "karras", "model": "no such"})
    for _ in range(steps_module.KEPT):
        other = DiscreteSampling.from_betas()
        remember(SimpleNamespace(get_model_object=lambda name, other=other: other))
    assert not steps({"steps": 5, "scheduler": "karras", "model": word})["exact"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "steps is None; it has to be from 1 to 1000"),
        ({"steps": 5000, "scheduler": "normal"}, "steps is 5000"),
        ({"steps": True, "scheduler": "normal"}, "steps is True"),
        (
            {"steps": 1000, "scheduler": "normal", "denoise": 1e-9},
            "denoise is 1e-09; with 1000 steps it has to be 0.01 or more",
        ),
        ({"steps": 5, "scheduler": "mine"}, "the scheduler is 'mine'; there are simple"),
        ({"steps": 5, "scheduler": "normal", "denoise": 0}, "denoise is 0"),
        ({"steps": 5, "scheduler": "normal", "first": "x"}, "whole numbers"),
    ],
)
def test_steps_that_nobody_has_are_refused(place: Path, asked: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        steps(asked)


def test_a_list_is_there_for_a_wire_that_comes_later(place: Path) -> None:
    """ComfyUI does not run the node again for it: without a list there were no controls."""
    hint, net = torch.rand(1, 8, 8, 3), SimpleNamespace()
    told = ControlStackRows().apply(
        {"rows": [{"id": 1}]},
        record=False,
        hint_1=hint,
        control_net_1=net,
        prompt={},
        unique_id="1",
    )
    [entry] = told["result"][4]
    assert entry[0] is net
