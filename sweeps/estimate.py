"""A sweep before it runs: pictures, runs of nets, and time from one row that is measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..ground.errors import UserError
from ..headless.planning.plan import plan_of
from ..headless.planning.walk import planning_registry
from .plan import Executions, SweepPlan
from .record import Record
from .work import Job, Worker

MOST_PLANS = 200
"""Rows whose controls are planned; of more, so many that are evenly spread stand for all."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep takes.

    Args:
        rows, missing: how many there are, and how many of them are not known yet.
        pictures: how many pictures all rows give, one where the workflow does not say; 0 where no
            row has a plan.
        net_runs: steps in which a ControlNet runs, of the missing rows; `exact` where each row was
            planned.
        executions: of nodes, of the missing rows.
        seconds: that the missing rows take, from one row's nodes; NaN where none could be measured.
        notes: what could not be told.
    """

    rows: int
    missing: int
    pictures: int
    net_runs: int
    exact: bool
    executions: Executions
    seconds: float
    notes: tuple[str, ...]


def estimate(plan: SweepPlan, job: Job, known: Mapping[str, Record]) -> Estimate:
    """What `plan` takes. Where no row is known, one is run, and what it saves is thrown away.

    Each node's seconds of that row are counted as often as the node has another result; what a
    setting costs more or less than that row's is not seen. To be called inside of the host.
    """
    done = frozenset(known)
    runs = plan.runs(done)
    pictures, net_runs, exact, notes = _planned(plan, done)
    nodes = Counter[str]()
    per_row = 0.0
    if runs:
        record, why = _measured(plan, job, known)
        if record is None:
            notes = (*notes, f"no time is estimated: {why}")
            per_row = math.nan
        else:
            nodes.update(record.nodes)
            per_row = max(0.0, record.seconds - sum(record.nodes.values()))
    missing = len(plan) - len(done)
    # A node that the measured row did not run costs what is not known: nothing.
    seconds = sum(times * nodes[node] for node, times in runs.items()) + per_row * missing
    executions = Executions(plan.alone(done), runs.total())
    return Estimate(len(plan), missing, pictures, net_runs, exact, executions, seconds, notes)


def _measured(plan: SweepPlan, job: Job, known: Mapping[str, Record]) -> tuple[Record | None, str]:
    """A row that ran all of its nodes: the known one with most, or one that is run now."""
    whole = max((r for r in known.values() if r.nodes), key=lambda r: len(r.nodes), default=None)
    if whole is not None:
        return whole, ""
    with TemporaryDirectory() as folder:
        try:
            worker = Worker(job, Path(folder), lambda address, number, path: path.name)
        except UserError as error:  # a device that only the machines of a cluster have
            return None, error.sentence
        record = worker.run(next(plan.rows()))
    return (None, record.error) if record.error else (record, "")


def _planned(plan: SweepPlan, done: frozenset[str]) -> tuple[int, int, bool, tuple[str, ...]]:
    """Pictures of all rows, runs of nets of those that are missing, and whether these are exact:
    rows without a plan are taken for ones like the others.
    """
    missing = len(plan) - len(done)
    graphs = plan.graphs(done, MOST_PLANS) if missing else plan.graphs(most=1)
    registry = planning_registry()
    nets, pictures, told = 0, 0, 0
    notes: tuple[str, ...] = ()
    for graph in graphs:
        try:
            found = plan_of(graph, registry)
        except UserError as error:
            notes = (f"a row has no plan: {error.sentence}",)
            continue
        nets += sum(line.runs for _, timeline in found.timelines for line in timeline.lines)
        pictures += found.pictures or 1
        told += 1
    share = 1 / max(told, 1)
    exact = told == max(missing, 1)
    return round(pictures * share * len(plan)), round(nets * share * missing), exact, notes
