"""What a sweep saves, and what it costs beside its sampling.

Parts, each printed as a ratio with its spread:
  calls   a sweep of demo pictures in one process beside as many calls of `controlstack run`. The
          calls differ in their seed alone, so some of them stand for all.
  ideal   rows of a sweep beside a loop that does nothing but sample, decode and save on models
          that are loaded, in turn in one process.
  plan    100,000 rows planned: seconds and memory.
  idle    rows that do nothing on two Ray actors: what the driver takes for each.
  actors  a sweep on two Ray actors of one core beside one; on two cores that nobody else uses.
CPU seconds are counted, children's too: on a machine that others use they tell more than the clock.
Only `actors` needs the clock. Aims: calls 5, ideal at most 1.05, plan under 5 s and 500 MB, actors
1.8.

Run: python -m benchmarks.sweep [calls ideal plan idle actors] [--rows 32] [--calls 8]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / "workflows" / "canny.json"
PARTS = ("calls", "ideal", "plan", "idle", "actors")
WARM = 2
"""Rows that do not count: kernels are chosen and memory is first asked for."""


@dataclass
class Spent:
    """CPU seconds, those of children included, and seconds by the clock."""

    cpu: float = 0.0
    clock: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """What the block and the processes that end in it take."""
    spent = Spent()
    cpu, clock = _cpu(), time.perf_counter()
    yield spent
    spent.cpu, spent.clock = _cpu() - cpu, time.perf_counter() - clock


def _cpu() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def command(*arguments: object) -> Spent:
    """A command of its own."""
    program = [sys.executable, "-m", "controlstack.cli", *map(str, arguments)]
    with spending() as spent:
        subprocess.run(program, check=True, capture_output=True)
    return spent


def spread(values: Sequence[float]) -> str:
    """Median, least and largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def calls(rows: int, count: int, folder: Path) -> None:
    """One process beside many."""
    alone = [
        command("run", WORKFLOW, "--demo", "--seed", seed, "--out", folder / "run").cpu
        for seed in range(1, count + 1)
    ]
    sweeps = [
        command(
            *("sweep", WORKFLOW, "--demo", "--seed", f"1..{rows}", "--out", folder / f"s{judged}"),
            *(() if judged else ("--no-fidelity",)),
        ).cpu
        for judged in (0, 1)
    ]
    print(f"calls: one of run takes {spread(alone)} CPU s")
    for judged, cpu in enumerate(sweeps):
        ratios = [rows * one / cpu for one in alone]
        kind = "with fidelity" if judged else "pictures and sheets alone"
        print(f"calls: {rows} rows ({kind}) {cpu:.1f} CPU s, {spread(ratios)} times less")


def planned(sets: Sequence[str], seeds: str, work: Callable[[Any, Any], Any]) -> Any:
    """`work` inside of the host, with a plan and its job, on the demo models."""
    from controlstack.demo.suiting import sized, standing
    from controlstack.headless import folders, host
    from controlstack.headless.graph.registry import default_registry
    from controlstack.headless.graph.workflow import load_workflow
    from controlstack.sweeps.description import described
    from controlstack.sweeps.plan import SweepPlan
    from controlstack.sweeps.values import read_values
    from controlstack.sweeps.work import Job

    registry = default_registry()
    graph = load_workflow(WORKFLOW, registry)
    graph, _ = sized(graph, registry)
    stands = standing([graph], registry).aliases
    places = folders.Folders((), (WORKFLOW.parent / "input",), Path("o"), Path("t"), stands)
    with host.use(places):
        values, _ = read_values(described(sets, (), seeds, ()), graph, registry)
        plan = SweepPlan(values, graph, registry)
        job = Job(tuple(base.graph for base in plan.bases), places, True, judged=False)
        return work(plan, job)


def ideal(rows: int, folder: Path) -> None:
    """Rows beside bare sampling, in turn."""
    planned([], f"1..{rows}", lambda plan, job: _ideal(plan, job, folder))


def _ideal(plan: Any, job: Any, folder: Path) -> None:
    from controlstack.ground.threads import one_thread
    from controlstack.headless.core_nodes import CORE_NODES
    from controlstack.headless.graph.execute import Executor
    from controlstack.headless.graph.registry import default_registry
    from controlstack.headless.pictures import encode_png
    from controlstack.sweeps.record import Store
    from controlstack.sweeps.work import Worker

    store = Store(folder / "ideal")
    store.begin()
    worker = Worker(job, store.scratch, store.keep)
    registry, graph = default_registry(), job.graphs[0]
    results = Executor(registry).run(graph)
    (sampler,) = (node for node in graph.nodes.values() if node.type == "KSampler")
    (decode,) = (node for node in graph.nodes.values() if node.type == "VAEDecode")
    given = {n: _value(v, results) for n, v in sampler.inputs.items()}
    spec = registry.spec("KSampler")
    given = {name: given[name] for name in spec.inputs if name in given}
    vae = _value(decode.inputs["vae"], results)
    sample = getattr(CORE_NODES["KSampler"](), spec.function)
    draw = getattr(CORE_NODES["VAEDecode"](), registry.spec("VAEDecode").function)
    import torch

    ours, theirs = [], []
    for row in plan.rows():
        began = time.process_time()
        record = worker.run(row)
        store.add(record)
        ours.append(time.process_time() - began)
        assert not record.error
        began = time.process_time()
        with one_thread(), torch.no_grad():
            (latent,) = sample(**{**given, "seed": row.settings["seed"]})
            (picture,) = draw(samples=latent, vae=vae)
            (folder / "bare.png").write_bytes(encode_png(picture[0], {"prompt": graph.prompt()}))
        theirs.append(time.process_time() - began)
    ratios = [a / b for a, b in zip(ours[WARM:], theirs[WARM:], strict=True)]
    print(f"ideal: a row takes {spread(ours[WARM:])} CPU s, bare sampling {spread(theirs[WARM:])}")
    print(f"ideal: {spread(ratios)} times, {sum(ours[WARM:]) / sum(theirs[WARM:]):.3f} in sum")


def _value(value: Any, results: Any) -> Any:
    from controlstack.headless.graph.model import Link

    return results.value(value.node, value.slot) if isinstance(value, Link) else value


def plan() -> None:
    """A hundred thousand rows."""
    planned([], "1", lambda plan, job: None)  # torch and the nodes are imported here

    def work(plan: Any, job: Any) -> None:
        count = sum(1 for _ in plan.rows())
        left, all_of_them = plan.runs().total(), plan.alone()
        print(f"plan: {count} rows, {left} of {all_of_them} executions of nodes are left")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with spending() as spent:
        sets = ["ControlStackAdd.strength=0..1:10", "ControlStackAdd.end_percent=0.1..1:10"]
        planned(sets, "1..1000", work)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"plan: {spent.cpu:.1f} CPU s, {(after - before) / 1024:.0f} MB more than "
          f"{before / 1024:.0f} MB with torch and its nodes imported")  # fmt: skip


class Idle:
    """An actor whose rows do nothing."""

    def __init__(self, job: Any, folder: str) -> None:
        pass

    def run(self, row: Any) -> Any:
        """A record without a picture."""
        from controlstack.sweeps.record import Record

        return Record(row.address, row.settings), []


def idle(rows: int, folder: Path) -> None:
    """The driver's load."""
    from controlstack.ground.cluster import LOCAL, Cluster, joined
    from controlstack.headless.folders import Folders
    from controlstack.sweeps.cluster import on
    from controlstack.sweeps.plan import Row
    from controlstack.sweeps.record import Store
    from controlstack.sweeps.work import Job

    store = Store(folder / "idle")
    store.begin()
    every = (Row(n, f"{n:032x}", {"seed": n}, 0, (), frozenset()) for n in range(rows))
    job = Job((), Folders((), (), folder, folder))
    with joined(Cluster(LOCAL, actors=2)) as pool:
        cpu, clock = time.process_time(), time.perf_counter()
        count = 0
        for record in on(pool, worker=Idle)(every, job, store):
            store.add(record)
            count += 1
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    size = (store.folder / "sweep.jsonl").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"idle: {count} rows, {1e3 * cpu / count:.2f} ms of the driver's CPU and "
          f"{1e3 * clock / count:.2f} ms by the clock for each; {size / count:.0f} bytes a line, "
          f"{peak:.0f} MB at most")  # fmt: skip


def actors(rows: int, folder: Path) -> None:
    """Two beside one."""
    seconds = [
        command(
            *("sweep", WORKFLOW, "--demo", "--no-fidelity", "--seed", f"1..{rows}"),
            *("--ray", "local", "--actors", count, "--out", folder / f"actors{count}"),
        ).clock
        for count in (1, 2)
    ]
    print(f"actors: one {seconds[0]:.1f} s, two {seconds[1]:.1f} s: "
          f"{seconds[0] / seconds[1]:.2f} times, starts included")  # fmt: skip


def main() -> None:
    """The parts that are asked for."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("parts", nargs="*", choices=PARTS, default=[])
    asked.add_argument("--rows", type=int, default=32)
    asked.add_argument("--calls", type=int, default=8)
    asked.add_argument("--idle", type=int, default=100_000)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work: dict[str, Callable[[], None]] = {
            "calls": lambda: calls(given.rows, given.calls, folder),
            "ideal": lambda: ideal(given.rows, folder),
            "plan": plan,
            "idle": lambda: idle(given.idle, folder),
            "actors": lambda: actors(given.rows, folder),
        }
        for part in given.parts or PARTS[:3]:
            work[part]()


if __name__ == "__main__":
    main()
