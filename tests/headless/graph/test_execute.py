"""Order, caching, lists, hidden inputs, and errors that name the node."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

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


class Heavy:
    """A value that one can see go."""


class Make:
    RETURN_TYPES = ("A", "B")
    FUNCTION = "make"
    made: ClassVar[list[weakref.ref[Heavy]]] = []

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}}

    def make(self) -> tuple[Heavy, Heavy]:
        pair = (Heavy(), Heavy())
        self.made[:] = map(weakref.ref, pair)
        return pair


class Use:
    """Ends a chain, and tells which of the values of Make are still there."""

    RETURN_TYPES = ("C",)
    OUTPUT_NODE = True
    FUNCTION = "use"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"a": ("*",)}, "optional": {"fail": ("STRING", {})}}

    def use(self, a: object, fail: str = "") -> dict[str, Any]:
        if fail == "memory":
            raise MemoryError
        if fail == "torch":
            torch.empty(1 << 50)
        if fail:
            raise RuntimeError(fail)
        alive = [ref() is not None for ref in Make.made]
        return {"ui": {"alive": [alive]}, "result": ("done",)}


@pytest.fixture
def chain() -> Registry:
    return Registry({"Make": Make, "Use": Use})


def using(*origins: list[Any], **inputs: Any) -> dict[str, Any]:
    """Make, and a Use after the other."""
    nodes = {str(n): {"class_type": "Use", "inputs": {"a": o}} for n, o in enumerate(origins, 2)}
    nodes[str(len(origins) + 1)]["inputs"].update(inputs)
    return {"1": {"class_type": "Make", "inputs": {}}, **nodes}


def test_values_are_let_go_when_no_node_needs_them(chain: Registry) -> None:
    graph = read(using(["1", 0], ["2", 0], ["1", 1], ["3", 0]), chain)
    # Node 4 takes the other value; 3 and 5 run when the first has been taken.
    executor = Executor(chain)
    shown = executor.run(graph, once=True).ui
    assert shown["2"]["alive"] == [[True, True]]
    assert shown["5"]["alive"] == [[False, False]]
    assert executor.run(graph).ui["5"]["alive"] == [[True, True]]


def test_nodes_of_one_signature_share_what_is_let_go_at_the_last(chain: Registry) -> None:
    graph = read(using(["1", 0], ["1", 0], ["2", 0], ["3", 0]), chain)
    results = Executor(chain).run(graph, once=True)
    assert set(results.ui) == {"2", "3", "4", "5"}
    assert all(values == [] for outputs in results.outputs.values() for values in outputs)


@pytest.mark.parametrize("fail", ["memory", "torch"])
def test_memory_that_ends_is_said_of_the_node(chain: Registry, fail: str) -> None:
    with pytest.raises(UserError, match=r"node 2 \(Use\) ran out of memory .* GB are free"):
        Executor(chain).run(read(using(["1", 0], fail=fail), chain))


def test_what_a_node_says_is_on_one_line(chain: Registry) -> None:
    with pytest.raises(NodeError) as raised:
        Executor(chain).run(read(using(["1", 0], fail="a\n/etc/passwd\x1b[2J"), chain))
    assert str(raised.value) == r"node 2 (Use) failed: RuntimeError: a\n/etc/passwd\x1b[2J"


class Switch:
    """Asks for `on`, and once it has that, for `more`; or for neither."""

    RETURN_TYPES = ("C",)
    OUTPUT_NODE = True
    FUNCTION = "use"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        lazy = ("*", {"lazy": True})
        return {
            "required": {"enabled": ("BOOLEAN", {"default": True}), "on": lazy},
            "optional": {"more": lazy},
            "hidden": {"own_id": "UNIQUE_ID"},
        }

    def check_lazy_status(self, enabled: bool, own_id: str, **lazy: Any) -> list[str]:
        return [name for name in ("on", "more") if enabled and lazy.get(name) is None][:1]

    def use(self, enabled: bool, own_id: str, on: Any = None, more: Any = None) -> dict[str, Any]:
        return {"ui": {"got": [(on, more)]}, "result": ("done",)}


class Number:
    RETURN_TYPES = ("*",)
    FUNCTION = "give"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"number": ("INT", {})}}

    def give(self, number: int) -> tuple[int | bool]:
        return (bool(number),) if number < 2 else (number,)


def switched(enabled: int) -> dict[str, Any]:
    """A switch driven by another node, before two lazy inputs."""
    made = {str(n): {"class_type": "Number", "inputs": {"number": n}} for n in (7, 8)}
    made["5"] = {"class_type": "Number", "inputs": {"number": enabled}}
    inputs = {"enabled": ["5", 0], "on": ["7", 0], "more": ["8", 0]}
    return {**made, "9": {"class_type": "Switch", "inputs": inputs}}


@pytest.fixture
def lazy() -> Registry:
    return Registry({"Switch": Switch, "Number": Number, "Save": Use})


@pytest.mark.parametrize("once", [False, True])
def test_lazy_inputs_are_made_when_they_are_asked_for(lazy: Registry, once: bool) -> None:
    results = Executor(lazy).run(read(switched(1), lazy), once=once)
    assert list(results.seconds) == ["5", "7", "8", "9"]
    assert results.ui["9"]["got"] == [(7, 8)]
    results = Executor(lazy).run(read(switched(0), lazy), once=once)
    assert list(results.seconds) == ["5", "9"]
    assert results.ui["9"]["got"] == [(None, None)]


@pytest.mark.parametrize(("enabled", "nodes"), [(1, 4), (0, 2)])
def test_what_is_kept_is_not_asked_for_again(lazy: Registry, enabled: int, nodes: int) -> None:
    executor = Executor(lazy)
    executor.run(read(switched(enabled), lazy))
    events: list[Event] = []
    executor.run(read(switched(enabled), lazy), events.append)
    assert [event.kind for event in events] == ["cached"] * nodes


def test_another_node_s_lazy_input_is_made_for_whoever_needs_it(lazy: Registry) -> None:
    document = {**switched(0), "10": {"class_type": "Save", "inputs": {"a": ["7", 0]}}}
    results = Executor(lazy).run(read(document, lazy))
    assert set(results.seconds) == {"5", "7", "9", "10"}


def test_an_error_while_asking_names_the_node(
    lazy: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> list[str]:
        raise RuntimeError("unasked")

    monkeypatch.setattr(Switch, "check_lazy_status", fails)
    with pytest.raises(NodeError, match=r"node 9 \(Switch\) failed: RuntimeError: unasked"):
        Executor(lazy).run(read(switched(1), lazy))
