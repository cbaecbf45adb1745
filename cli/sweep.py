"""`controlstack sweep WORKFLOW`: one workflow over many settings, each row once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ground.errors import UserError
from ..ground.parameters import setting
from .cluster import RayOptions, pool_of
from .options import command_of
from .places import PlaceOptions
from .progress import shown_progress
from .run import NetOptions
from .say import note, say, tell

if TYPE_CHECKING:
    from ..headless.graph.model import Graph
    from ..headless.graph.registry import Registry
    from ..sweeps.plan import SweepPlan
    from ..sweeps.record import Store
    from ..sweeps.sweep import Runner, Swept
    from ..sweeps.work import Job

_VALUES = "NODE.INPUT=VALUES"


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The command's argument and options."""

    workflow: Path = setting(
        MISSING,
        "JSON as saved or as sent (API), or a PNG that holds one.",
        metavar="WORKFLOW",
        argument=True,
    )
    settings: tuple[str, ...] = setting(
        (),
        "Values of an input: 0.4,0.7 or 1..4 or 0.3..1.0:5; pictures as files, folders and globs; "
        "prompts as @FILE, a line each. Repeat for more: each against each.",
        flag="--set",
        metavar=_VALUES,
    )
    in_step: tuple[str, ...] = setting(
        (), "As --set, but all of these go in step.", flag="--zip", metavar=_VALUES
    )
    seed: str = setting("", "Values of every seed: 1..4 or 3,7.", metavar="VALUES")
    preset: tuple[str, ...] = setting(
        (), "Settings for every stack, from Save Control Preset; repeat for more.", metavar="FILE"
    )
    rows: tuple[Path, ...] = setting(
        (), "A description of a sweep: TOML, or rows as CSV or JSONL.", metavar="FILE"
    )
    demo: bool = setting(False, "Put the small demo models in the models' place.")
    out: Path = setting(Path("output/sweep"), "Folder of the sweep.", metavar="DIR")
    places: PlaceOptions = field(default_factory=PlaceOptions)
    nets: NetOptions = field(default_factory=NetOptions)
    dry_run: bool = setting(
        False, "Say how many pictures there are and how long they take; one is measured, and kept "
        "nowhere.",
    )  # fmt: skip
    fidelity: bool = setting(True, "Measure how well pictures follow their hints.", flag=
                             "--fidelity/--no-fidelity")  # fmt: skip
    strict: bool = setting(False, "Stop at the first row that fails.")
    shared: bool = setting(
        False, "With --ray, processes write pictures themselves: the folder is on all machines."
    )
    cluster: RayOptions = field(default_factory=RayOptions)
    yes: bool = setting(False, "Run a sweep of more than 10000 rows.")


def _sweep(options: SweepOptions) -> None:
    """Run a workflow over values of its inputs, and show what they change.

    Rows that the folder has already are not run again; what rows share is run once.
    """
    from ..headless.graph.workflow import read_document
    from ..sweeps.description import Description, described, read_description
    from ..sweeps.record import Store

    document = read_document(options.workflow)  # before torch is imported
    asked = described(options.settings, options.in_step, options.seed, options.preset)
    asked = sum(map(read_description, options.rows), Description()) + asked
    if not asked.groups:
        raise UserError("a sweep needs values: give --set, --zip, --seed, --preset or --rows")
    store = Store(options.out)
    store.require()
    places = options.places.folders(options.workflow, options.out)
    from ..headless import host
    from ..headless.graph.registry import default_registry

    _require_device(options)
    registry = default_registry()
    with host.use(places):
        plan, job = _planned(document.graph(registry), registry, asked, options)
        if options.dry_run:
            return _say_dry(plan, job, store)
    _run(plan, job, store, options)


sweep_command = command_of(SweepOptions, _sweep)


def _planned(
    graph: Graph, registry: Registry, asked: Any, options: SweepOptions
) -> tuple[SweepPlan, Job]:
    """The plan, and what a process needs for it; a row is checked as `run` would."""
    from ..demo.suiting import sized, standing, suited
    from ..headless import computing, folders, host
    from ..headless.graph.given_nets import with_nets
    from ..headless.graph.validate import require_known
    from ..headless.graph.without import without_onlookers
    from ..sweeps.plan import SweepPlan, require_meant
    from ..sweeps.values import read_values
    from ..sweeps.work import Job

    demo = options.demo
    graph = without_onlookers(graph, registry)
    require_known(graph, registry)
    graph, factor = sized(graph, registry) if demo else (graph, 1.0)
    given = with_nets(graph, registry, options.nets.control_net)
    graph = suited(given.graph, registry, given.places) if demo else given.graph
    for line in graph.notes:  # before somebody sweeps what is left out
        note(line)
    stands = standing([graph] if demo else [], registry, given.places)
    with host.use(replace(folders.current(), aliases=stands.aliases)):
        values, places = read_values(asked, graph, registry)
    require_meant(values.count, options.yes)
    computed = computing.kind_of(options.nets.device, options.nets.dtype)
    with host.use(places):
        plan = SweepPlan(values, graph, registry, computed)
        if demo:
            stands = standing(_naming(plan, registry), registry, given.places)
            for line in stands.notes(factor):
                note(line)
            places = replace(places, aliases=stands.aliases)
    job = Job(
        tuple(base.graph for base in plan.bases),
        places,
        options.demo,
        options.fidelity,
        options.nets.device,
        options.nets.dtype,
    )
    with host.use(places):
        if demo:  # addresses know the files that stand in
            plan = SweepPlan(values, graph, registry, computed)
        _check(plan, registry)
    if (same := plan.given - len(plan)) > 0:
        note(f"{same} of {plan.given} rows are the same as others, and are run once")
    assert isinstance(places, folders.Folders)
    return plan, job


def _require_device(options: SweepOptions) -> None:
    """Raise UserError for a device that is not here. With --ray those of other machines count, of
    which Ray gives each process its own."""
    from ..headless import computing

    device, on_ray = options.nets.device, bool(options.cluster.ray)
    if on_ray and device.startswith("cuda:"):
        raise UserError(
            f"--device {device} with --ray: Ray chooses a GPU for each process; write cuda"
        )
    if not on_ray or device != "cuda":
        computing.chosen(device, options.nets.dtype)


def _check(plan: SweepPlan, registry: Registry) -> None:
    """Raise the UserError of the first row where a few rows, evenly spread, are all refused: one
    row that fails is none of the sweep's."""
    from ..headless.graph.validate import validate

    rows = list(plan.rows())
    first: UserError | None = None
    for row in rows[:: max(1, len(rows) // _TRIED)]:
        try:
            return validate(plan.graph(row), registry)
        except UserError as error:
            first = first or error
    if first is not None:
        raise first


_TRIED = 8
"""Rows that are checked before a sweep begins, about, until one is in order."""


def _naming(plan: SweepPlan, registry: Registry) -> Iterator[Graph]:
    """Graphs of the plan that name, together, every model that its rows name."""
    from ..sweeps.plan import changed

    for base in plan.bases:
        each = [value for values in base.sets for value in values]
        files = {node.id: registry.model_files(node.type) for node in base.graph.nodes.values()}
        naming = [one for one in each if any(a.input in files[a.node] for a in one)]
        yield from (changed(base.graph, base.specs, one) for one in ((), *naming))


def _run(plan: SweepPlan, job: Job, store: Store, options: SweepOptions) -> None:
    from ..sweeps.sweep import sweep

    with shown_progress(), _runner(options) as runner:
        swept = sweep(plan, job, store, options.strict, runner)
    _report(plan, swept, store, options)


@contextmanager
def _runner(options: SweepOptions) -> Iterator[Runner]:
    """What runs the rows: this process, or Ray."""
    from ..sweeps.sweep import in_this_process

    with pool_of(options.cluster, gpus=int(options.nets.device == "cuda")) as pool:
        if pool is None:
            yield in_this_process
            return
        from ..sweeps.cluster import on

        yield on(pool, options.shared)


def _report(plan: SweepPlan, swept: Swept, store: Store, options: SweepOptions) -> None:
    from ..sweeps.report import said, write_report
    from ..sweeps.sweep import in_words

    written = write_report(plan, swept, store, options.workflow.stem)
    for line in written.notes:
        note(line)
    for record in swept.failed:
        tell(f"Failed: {in_words(record.settings)}: {record.error}")
    tell(said(swept))
    if written.best:
        say(written.best)
    for file in written.files:
        say(file)


def _say_dry(plan: SweepPlan, job: Job, store: Store) -> None:
    from ..headless import host
    from ..sweeps.estimate import estimate
    from ..sweeps.sweep import known_rows

    with host.use(job.places), shown_progress():
        found = estimate(plan, job, known_rows(store.read(), plan))
    for line in found.notes:
        note(line)
    about = "" if found.exact else "about "
    known = found.rows - found.missing
    each, once = found.executions.each, found.executions.once
    say(
        f"{found.rows} rows, {found.pictures} pictures"
        + (f"; {known} rows are done" if known else "")
    )
    say(f"{about}{found.net_runs} net runs")
    if each:
        saved = each - once
        say(f"{once} executions of nodes, {saved} of {each} saved ({saved / each:.0%})")
    if found.seconds == found.seconds:
        say(f"about {_time(found.seconds)} in one process, from one measured row")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
