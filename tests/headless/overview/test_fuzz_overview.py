"""Workflows that were changed in their structure can all be looked at and fitted to the demo.

`CONTROLSTACK_FUZZ=100000 python -m pytest tests/headless/overview/test_fuzz_overview.py`: more.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlstack.demo.fitting import fitted
from controlstack.demo.models import aliases, scale_factor, scaled
from controlstack.ground.errors import UserError
from controlstack.ground.structured import read_json
from controlstack.ground.wording import one_line
from controlstack.headless import folders, host
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.without import without_onlookers
from controlstack.headless.graph.workflow import parse
from controlstack.headless.overview.overview import overview_of
from controlstack.headless.overview.reach import line_of, reach_of
from tests.headless.graph.mutations import mutated
from tests.workflows.names import ALL, WORKFLOWS

EXAMPLES = int(os.environ.get("CONTROLSTACK_FUZZ", "100"))
REGISTRY = default_registry()
TYPES = (*REGISTRY, "IPAdapterApply", "Image Comparer (rgthree)", "Any", "ImageResize+")


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """The shipped workflows as they are saved, and as they are sent."""
    saved = [json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8")) for name in ALL]
    return [*saved, *(parse(one, "x").graph(REGISTRY).prompt() for one in saved)]


@settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 6))
def test_every_workflow_can_be_looked_at(
    documents: list[dict[str, Any]], seed: int, changes: int
) -> None:
    rng = random.Random(seed)
    changed = mutated(rng.choice(documents), rng, TYPES, changes)
    nowhere = Path("nowhere")
    with host.use(folders.Folders((nowhere,), (nowhere,), nowhere, nowhere)):
        try:
            document = parse(read_json(json.dumps(changed), "f"), "f")
        except UserError:
            return
        seen = overview_of(document, REGISTRY)
        said = json.loads(json.dumps(seen.json()))
        assert (seen.status == "runs") == (not seen.problems and not seen.why)
        assert said["status"] == seen.status
        assert one_line(line_of(seen)) == line_of(seen) or seen.status == "nodes"
        assert reach_of([seen]).total == 1
        if seen.status == "nothing":
            return
        try:
            graph = fitted(without_onlookers(document.graph(REGISTRY), REGISTRY), REGISTRY)
            scaled(graph, REGISTRY, scale_factor(graph))
        except UserError:
            return
        assert fitted(graph, REGISTRY).nodes == graph.nodes
        assert set(aliases(graph, REGISTRY)) <= set(folders.KINDS)
        json.dumps(graph.prompt())
