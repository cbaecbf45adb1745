"""rgthree's seed and switch."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.widgets import widget_values
from controlstack.headless.graph.workflow import read_workflow
from controlstack.headless.pack_nodes import PACK_NODES


def test_a_seed_is_given_on(caplog: pytest.LogCaptureFixture) -> None:
    node = PACK_NODES["Seed (rgthree)"]
    assert node().run(seed=7) == (7,)
    assert node.IS_CHANGED(seed=7) == 7
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "controlstack"):
        (drawn,) = node().run(seed=-1)
    assert 1 <= drawn <= 2**50
    assert str(drawn) in caplog.records[0].getMessage()
    assert node.IS_CHANGED(seed=-1) != node.IS_CHANGED(seed=-1)


def test_buttons_behind_a_seed_are_no_values() -> None:
    fields = default_registry().spec("Seed (rgthree)").widgets
    assert widget_values(fields, [42, None, None, None], {}) == {"seed": 42}


def test_the_first_that_is_there_is_taken() -> None:
    switch = PACK_NODES["Any Switch (rgthree)"]()
    assert switch.run(any_01=None, any_02="b", any_03="c") == ("b",)
    assert switch.run() == (None,)


def test_a_switch_in_a_workflow() -> None:
    text: dict[str, Any] = {"class_type": "PrimitiveString", "inputs": {"value": "there"}}
    prompt = {
        "1": text,
        "2": {"class_type": "Any Switch (rgthree)", "inputs": {"any_02": ["1", 0]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }
    registry = default_registry()
    graph = read_workflow(prompt, registry, "test")
    validate(graph, registry)
    assert Executor(registry).run(graph).ui["3"]["text"] == ["there"]
