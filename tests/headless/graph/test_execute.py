"""Order, caching, lists, hidden inputs, and errors that name the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.graph.execute import Event, Executor, NodeError
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.workflow import Graph, read_workflow


def read(document: dict[str, Any], registry: Registry) -> Graph:
    return read_workflow(document, registry, "wf.json")


def test_results_and_events(registry: Registry, api: dict[str, Any]) -> None:
    api["7"] = {"class_type": "Mask", "inputs": {"soft": True}}  # nobody needs it
    events: list[Event] = []
    results = Executor(registry).run(read(api, registry), events.append)
    assert results.value("3") == "euler(model a.safetensors, [a cat], 7, 20)"
    assert results.ui["4"]["saved"] == ["out: euler(model a.safetensors, [a cat], 7, 20)"]
    assert [event.node.id for event in events if event.kind == "done"] == ["1", "2", "3", "4"]
    assert [event.index for event in events if event.kind == "start"] == [0, 1, 2, 3]
    assert set(results.seconds) == {"1", "2", "3", "4"}


def test_hidden_inputs(registry: Registry, ui: dict[str, Any]) -> None:
    graph = read(ui, registry)
    shown = Executor(registry).run(graph).ui["4"]
    assert shown["extra"] == [{"workflow": ui}]
    assert shown["id"] == ["4"]


def test_only_what_changed_runs_again(
    registry: Registry, api: dict[str, Any], calls: list[str]
) -> None:
    executor = Executor(registry)
    executor.run(read(api, registry))
    calls.clear()
    executor.run(read(api, registry))
    assert calls == []
    api["3"]["inputs"]["seed"] = 8
    events: list[Event] = []
    executor.run(read(api, registry), events.append)
    assert calls == ["Sampler", "Save"]
    assert [event.node.id for event in events if event.kind == "cached"] == ["1", "2"]
    api["2"]["inputs"]["text"] = "a dog"
    calls.clear()
    executor.run(read(api, registry))
    assert calls == ["Encode", "Sampler", "Save"]


def test_a_result_nobody_needed_last_time_is_gone(
    registry: Registry, api: dict[str, Any], calls: list[str]
) -> None:
    executor = Executor(registry)
    executor.run(read(api, registry))
    executor.run(read({"1": {"class_type": "Picky", "inputs": {"file": "listed"}}}, registry))
    calls.clear()
    executor.run(read(api, registry))
    assert calls == ["Loader", "Encode", "Sampler", "Save"]


def test_other_folders_are_other_files(
    registry: Registry, api: dict[str, Any], calls: list[str], tmp_path: Path
) -> None:
    executor = Executor(registry)
    executor.run(read(api, registry))
    calls.clear()
    with folders.use(folders.Folders((tmp_path,), (tmp_path,), tmp_path, tmp_path)):
        executor.run(read(api, registry))
    assert calls == ["Loader", "Encode", "Sampler", "Save"]


def test_is_changed(registry: Registry, calls: list[str], marks: list[object]) -> None:
    graph = read({"1": {"class_type": "Picky", "inputs": {"file": "listed"}}}, registry)
    executor = Executor(registry)
    for mark, runs in (("same", 1), ("same", 1), ("other", 2), (float("nan"), 3), (marks[0], 4)):
        marks.append(mark)
        executor.run(graph)
        assert len(calls) == runs, mark


def test_lists_are_mapped_over(registry: Registry) -> None:
    document = {
        "1": {"class_type": "Numbers", "inputs": {"count": 4}},
        "2": {"class_type": "Double", "inputs": {"number": ["1", 0]}},
        "3": {"class_type": "Sum", "inputs": {"numbers": ["2", 0]}},
    }
    results = Executor(registry).run(read(document, registry))
    assert results.outputs["2"] == [[0, 2, 4, 6]]
    assert results.value("3") == 12
    assert results.ui["3"] == {"sum": [12]}


@pytest.mark.parametrize(
    ("file", "error", "said"),
    [
        ("user error", UserError, "node 1 'Mine' (Picky): this model is of another kind"),
        ("bug", NodeError, "node 1 'Mine' (Picky) failed: KeyError: 'lost'"),
        ("interrupt", KeyboardInterrupt, ""),
    ],
)
def test_errors_name_the_node(
    registry: Registry, file: str, error: type[BaseException], said: str
) -> None:
    node = {"class_type": "Picky", "inputs": {"file": file}, "_meta": {"title": "Mine"}}
    with pytest.raises(error) as raised:
        Executor(registry).run(read({"1": node}, registry))
    assert str(raised.value) == said


def test_what_ran_before_an_error_is_kept(
    registry: Registry, api: dict[str, Any], calls: list[str]
) -> None:
    api["5"] = {"class_type": "Picky", "inputs": {"file": "bug"}}
    executor = Executor(registry)
    with pytest.raises(NodeError):
        executor.run(read(api, registry))
    api["5"]["inputs"]["file"] = "listed"
    executor.run(read(api, registry))
    assert calls.count("Loader") == 1
