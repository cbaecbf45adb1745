"""Whatever a file holds, the loader gives a graph or one UserError; a graph validates or says why
not.
"""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.ground.structured import read_json
from controlstack.headless.graph.execute import Executor, NodeError
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from tests.workflows.canvas.recorded import FOLDER

# The fixtures are not changed by a test, so that every example may share them.
SHARED = [HealthCheck.function_scoped_fixture]
fuzz = settings(deadline=None, max_examples=60, suppress_health_check=SHARED)

# Words that mean something to the loader, beside any other.
WORDS = st.sampled_from(
    [
        *("nodes", "links", "id", "type", "inputs", "outputs", "widgets_values", "definitions"),
        *("subgraphs", "class_type", "prompt", "workflow", "link", "name", "widget", "mode"),
        *("properties", "proxyWidgets", "origin_id", "origin_slot", "target_id", "target_slot"),
        *("Sampler", "Save", "Loader", "Reroute", "PrimitiveNode", "Note", "sub", "__value__"),
        *("-10", "-20", "1", "2", "3"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-21, 6)
    | st.floats()
    | st.text(max_size=5)
    | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda child: (
        st.lists(child, max_size=5)
        | st.dictionaries(WORDS | st.text(max_size=3), child, max_size=5)
    ),
    max_leaves=25,
)


def survive(document: Any, registry: Registry) -> None:
    """Read, validate, run; anything but a UserError or a node's own failure is a fault of ours."""
    with contextlib.suppress(UserError):
        graph = read_workflow(read_json(json.dumps(document), "f"), registry, "f")
        json.dumps(graph.prompt())
        validate(graph, registry)
        with contextlib.suppress(NodeError, KeyboardInterrupt):
            Executor(registry).run(graph)


@fuzz
@given(document=VALUES)
def test_any_json(registry: Registry, document: Any) -> None:
    survive(document, registry)


@fuzz
@given(nodes=st.lists(VALUES, max_size=4), links=VALUES, definitions=VALUES)
def test_any_canvas(registry: Registry, nodes: Any, links: Any, definitions: Any) -> None:
    survive({"nodes": nodes, "links": links, "definitions": definitions}, registry)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside `value`."""
    if not isinstance(value, (dict, list)):
        return [here]
    keys = value if isinstance(value, dict) else range(len(value))
    return [here, *(path for key in keys for path in places(value[key], (*here, key)))]


def mutated(document: Any, data: st.DataObject) -> Any:
    """A copy of `document` with some of its values changed, dropped or doubled."""
    changed = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(changed)))
        if not path:
            continue
        owner = changed
        for key in path[:-1]:
            owner = owner[key]
        action = data.draw(st.sampled_from(("change", "drop", "double", "swap")))
        if action == "drop":
            del owner[path[-1]]
        elif action == "double" and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[path[-1]]))
        elif action == "swap":
            other = data.draw(st.sampled_from(places(document)))
            taken = document
            for key in other:
                taken = taken[key]
            owner[path[-1]] = copy.deepcopy(taken)
        else:
            owner[path[-1]] = data.draw(VALUES)
    return changed


@pytest.fixture(scope="module")
def every_node() -> Registry:
    return default_registry()


@pytest.fixture(params=["api", "ui", "nested"])
def real(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@fuzz
@given(data=st.data())
def test_mutated_workflows(registry: Registry, real: Any, data: st.DataObject) -> None:
    survive(mutated(real, data), registry)


@fuzz
@given(data=st.data())
def test_mutated_canvas_nodes(every_node: Registry, data: st.DataObject) -> None:
    """Graphs with group nodes, Set and Get, Anything Everywhere and so on."""
    file = data.draw(st.sampled_from(sorted(FOLDER.glob("*.json"))))
    document = mutated(json.loads(file.read_text(encoding="utf-8")), data)
    with contextlib.suppress(UserError):
        read_workflow(read_json(json.dumps(document), "f"), every_node, "f").prompt()


@fuzz
@given(data=st.binary(max_size=200))
@pytest.mark.parametrize("head", [b"", b"\x89PNG\r\n\x1a\n", b'{"nodes": ['])
def test_any_bytes(tmp_path: Path, registry: Registry, head: bytes, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(head + data)
    with pytest.raises(UserError):
        load_workflow(path, registry)


@fuzz
@given(target=st.text(max_size=12) | WORDS.map("3.{}".format), text=st.text(max_size=8))
def test_any_override(registry: Registry, api: Any, target: str, text: str) -> None:
    graph = read_workflow(api, registry, "f")
    try:
        changed = override(graph, registry, target, text)
    except UserError:
        return
    assume(changed.nodes != graph.nodes)
    validate(changed, registry)
