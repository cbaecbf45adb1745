"""The shipped workflows, changed in their structure: a graph that runs, or one clean sentence.

`CONTROLSTACK_FUZZ=100000 python -m pytest tests/headless/graph/test_fuzz_workflows.py` tries more.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from controlstack.ground import memory
from controlstack.ground.errors import UserError
from controlstack.ground.structured import read_json
from controlstack.ground.wording import one_line
from controlstack.headless import folders, host
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import NodeSpec, Registry, default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.nodes.hint_node import accepted
from controlstack.nodes.rows import rows_of
from tests.headless.graph.mutations import mutated
from tests.workflows.names import DEMO, WORKFLOWS

EXAMPLES = int(os.environ.get("CONTROLSTACK_FUZZ", "300"))

# Core nodes that have none of these are real; of all others the checks are, the function is not.
MODELS = {"MODEL", "CLIP", "VAE", "CONTROL_NET"}
LOADERS = ("CheckpointLoaderSimple", "ControlNetLoader", "ControlStackLoader")


def _made(kind: str) -> Any:
    if kind == "IMAGE":
        return torch.zeros(1, 16, 16, 3)
    if kind == "LATENT":
        return {"samples": torch.zeros(1, 4, 8, 8)}
    if kind == "CONDITIONING":
        return [[torch.zeros(1, 77, 4), {}]]
    return torch.zeros(1, 16, 16) if kind == "MASK" else kind


def _readable(controls: Any = None) -> bool | str:
    return accepted(lambda: controls is None or rows_of(controls))


def _light(spec: NodeSpec) -> NodeSpec:
    wires = {*spec.outputs, *(one.type for one in spec.inputs.values())}
    if spec.type in CORE_NODES and not wires & MODELS:
        return spec

    def stub(self: object, **_: object) -> tuple[Any, ...]:
        return tuple(_made(kind) for kind in spec.outputs)

    kept: dict[str, Any] = {}
    if spec.type in LOADERS:
        kept["VALIDATE_INPUTS"] = staticmethod(lambda **_: True)
    if spec.type == "ControlStackRows":  # loads files, too
        kept["VALIDATE_INPUTS"] = staticmethod(_readable)
    for name in ("VALIDATE_INPUTS", "IS_CHANGED"):
        if hasattr(spec.cls, name):
            kept.setdefault(name, getattr(spec.cls, name))
    return replace(spec, cls=type(spec.type, (), {"stub": stub, **kept}), function="stub")


class Light(Registry):
    """Asks each class once what it takes: the folders do not change here."""

    def __init__(self, whole: Registry) -> None:
        super().__init__(dict.fromkeys(whole, object))
        self._specs = {name: _light(whole.spec(name)) for name in whole}

    def spec(self, node_type: str) -> NodeSpec:
        return self._specs[node_type]

    def get(self, node_type: str) -> NodeSpec | None:
        return self._specs.get(node_type)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> folders.Folders:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "input").mkdir()
    for picture in (WORKFLOWS / "input").glob("*.png"):
        Image.new("RGB", (16, 16)).save(root / "input" / picture.name)
    return folders.Folders((root,), (root / "input",), root / "out", root / "temp")


@pytest.fixture(scope="module")
def light(places: folders.Folders) -> Iterator[Registry]:
    with host.use(places):
        yield Light(default_registry())


@pytest.fixture(scope="module")
def documents(light: Registry) -> list[dict[str, Any]]:
    """The shipped workflows as they are saved, and as they are sent."""
    saved = [json.loads((WORKFLOWS / f"{name}.json").read_text()) for name in DEMO]
    sent = [read_workflow(one, light, "x").prompt() for one in saved]
    return [*saved, *sent]


def survive(document: Any, registry: Registry) -> None:
    """Only a UserError may come, on clean lines; a NodeError is a fault of a node of ours."""
    try:
        graph = read_workflow(read_json(json.dumps(document), "f"), registry, "f")
        json.dumps(graph.prompt())
        lines = list(graph.notes)
        validate(graph, registry)
        Executor(registry).run(graph, once=True)
    except UserError as error:
        lines = [error.sentence, *error.details]
        assert error.sentence  # noqa: PT017 - most examples raise, and all may
    assert [one_line(line) for line in lines] == lines


def test_the_shipped_workflows_run_here(
    light: Registry, documents: list[dict[str, Any]], places: folders.Folders
) -> None:
    assert len(documents) == 26  # thirteen, in both forms
    for document in documents:
        graph = read_workflow(document, light, "f")
        validate(graph, light)
        with host.use(places), folders.saving() as saved:
            Executor(light).run(graph, once=True)
        assert saved["output"]


@settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 5))
def test_mutated_structure(
    light: Registry,
    documents: list[dict[str, Any]],
    places: folders.Folders,
    seed: int,
    changes: int,
) -> None:
    rng = random.Random(seed)
    document = mutated(rng.choice(documents), rng, list(light), changes)
    with pytest.MonkeyPatch.context() as patch, host.use(places):
        patch.setattr(memory, "available", lambda: 1 << 22)
        survive(document, light)
