"""What a sweep takes, told before it runs; a known row's seconds stand for the measured one's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow
from controlstack.sweeps import estimate as module
from controlstack.sweeps.description import described
from controlstack.sweeps.estimate import estimate
from controlstack.sweeps.plan import SweepPlan
from controlstack.sweeps.record import Record
from controlstack.sweeps.values import read_values
from controlstack.sweeps.work import Job

WORKFLOWS = Path(__file__).parents[2] / "workflows"
STEPS = 20


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[tuple[SweepPlan, Job, dict[str, Record]]]:
    """Two strengths of two seeds, of which one row is known."""
    registry = default_registry()
    graph = load_workflow(WORKFLOWS / "stack_pose_depth.json", registry)
    asked = described(["Add pose.strength=0.4,1", f"KSampler.steps={STEPS}"], (), "1..2", ())
    models, out, temp = (tmp_path / name for name in ("models", "out", "temp"))
    with host.use(folders.Folders((models,), (WORKFLOWS / "input",), out, temp)) as _:
        values, places = read_values(asked, graph, registry)
        plan = SweepPlan(values, graph, registry)
        address = plan.addresses[0]
        record = Record(address, plan.settings(address), seconds=9.0, nodes={"15": 6.0, "1": 2.0})
        yield plan, Job((graph,), places), {address: record}


def test_what_is_missing_is_counted(planned: Any) -> None:
    plan, job, known = planned
    found = estimate(plan, job, known)
    assert (found.rows, found.missing, found.pictures, found.exact) == (4, 3, 4, True)
    assert found.net_runs == 3 * 2 * STEPS  # two nets in every step
    runs = plan.runs(frozenset(known))
    assert (found.executions.each, found.executions.once) == (
        3 * len(plan.bases[0].columns),
        runs.total(),
    )
    # Three rows are sampled, models are loaded once; a second of a row is no node's.
    assert found.seconds == 3 * 6.0 + 2.0 + 3 * 1.0


def test_nothing_is_missing(planned: Any) -> None:
    plan, job, known = planned
    (record,) = known.values()
    every = dict.fromkeys(plan.addresses, record)
    found = estimate(plan, job, every)
    assert (found.rows, found.missing, found.net_runs, found.seconds) == (4, 0, 0, 0.0)
    assert found.pictures == 4


def test_rows_without_a_plan_are_taken_for_ones_like_the_others(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, job, known = planned
    plan_of, asked = module.plan_of, []

    def first_fails(graph: Any, registry: Any) -> Any:
        asked.append(graph)
        if len(asked) == 1:
            raise UserError("no sampler")
        return plan_of(graph, registry)

    monkeypatch.setattr(module, "plan_of", first_fails)
    found = estimate(plan, job, known)
    assert (found.pictures, found.net_runs, found.exact) == (4, 3 * 2 * STEPS, False)
    assert found.notes == ("a row has no plan: no sampler",)
