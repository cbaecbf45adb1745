"""One process that runs rows: its models, hints and prompts stay from row to row."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ..ground.errors import UserError
from ..ground.memory import available
from ..ground.threads import one_thread
from ..headless import computing, folders, host
from ..headless.graph.execute import Event, Executor, NodeError, Results
from ..headless.graph.model import Graph, Node
from ..headless.graph.registry import NodeSpec, default_registry
from ..headless.graph.validate import validate
from .fidelity import Judge, as_json
from .plan import Row, changed
from .record import Record

SPARE = 2_000_000_000
"""Bytes of memory that stay free: with less, results that only later rows use are made again."""

Keep: TypeAlias = Callable[[str, int, Path], str]
"""Takes a row's address, a picture's number and its file; says what it is called from now on."""


@dataclass(frozen=True)
class Job:
    """What a process needs for the rows of a sweep: picklable.

    Args:
        graphs: what rows change: the workflow with each preset, or without one.
        places: where models and input pictures lie.
        one_thread: whether to compute on one core.
        judged: whether fidelity is measured.
        device, dtype: where networks compute, and in what, in the words of `computing.chosen`:
            which devices there are is known in the process alone.
    """

    graphs: tuple[Graph, ...]
    places: folders.Folders
    one_thread: bool = False
    judged: bool = True
    device: str = "cpu"
    dtype: str = computing.AUTO


class Worker:
    """Runs rows of one job, one after the other."""

    def __init__(self, job: Job, scratch: Path, keep: Keep) -> None:
        """`scratch` is an empty folder on the disk that `keep` moves files to. Raises UserError for
        a device that is not there."""
        self._job, self._keep = job, keep
        self._places = replace(job.places, output=scratch, temp=scratch / "previews")
        self._computing = computing.chosen(job.device, job.dtype)
        self._registry = default_registry()
        with host.use(self._places):
            self._specs = self._registry.specs(*job.graphs)
        self._executor = Executor(self._registry)
        self._accepted: dict[int, dict[str, Node]] = {}
        self._judge = Judge(self._registry)
        # Pictures that later rows show again: what the node showed, and their names.
        self._known: dict[tuple[str, int], tuple[str, Any, tuple[str, ...]]] = {}

    def run(self, row: Row) -> Record:
        """Run a row. What fails is said in its record; KeyboardInterrupt passes through."""
        began = time.perf_counter()
        counts = {"start": 0, "done": 0, "cached": 0}

        def hear(event: Event) -> None:
            counts[event.kind] += 1

        record = Record(row.address, row.settings)
        try:
            record = self._run(row, record, hear)
        except (UserError, NodeError) as error:
            said = error.sentence if isinstance(error, UserError) else str(error)
            record = replace(record, error=said)
        return replace(
            record,
            seconds=time.perf_counter() - began,
            executed=counts["done"],
            reused=counts["cached"],
        )

    def _run(self, row: Row, record: Record, hear: Callable[[Event], None]) -> Record:
        graph = changed(self._job.graphs[row.preset], self._specs, row.assignments)
        if available() < SPARE:
            self._executor.forget()
        with ExitStack() as stack:
            stack.enter_context(host.use(self._places))
            stack.enter_context(computing.use(self._computing))
            stack.enter_context(one_thread() if self._job.one_thread else nullcontext())
            validate(graph, self._registry, self._accepted.setdefault(row.preset, {}))
            saved = stack.enter_context(folders.saving())
            results = self._executor.run(graph, hear, again=row.again)
            made = self._pictures(graph, results, row, set(saved["output"] + saved["temp"]))
            fresh = [path for paths in made.values() for path in paths if isinstance(path, Path)]
            followed = self._judge(graph, results, fresh) if self._job.judged else ()
            names = self._named(row, results, made)
            for others in saved.values():
                for path in others:
                    path.unlink(missing_ok=True)
        return replace(
            record, pictures=names, fidelity=as_json(followed), nodes=dict(results.seconds)
        )

    def _pictures(
        self, graph: Graph, results: Results, row: Row, fresh: Collection[Path]
    ) -> dict[str, list[Path | str]]:
        """By node the row's pictures: those that were sampled, or all where none was; saved ones,
        or else those that were only shown. What an earlier row saved has its name already.
        """
        sampled = _sampled(graph, self._specs)
        shown = {node: ui for node, ui in results.ui.items() if node in sampled} or results.ui
        for kind in ("output", "temp"):
            found: dict[str, list[Path | str]] = {}
            for node, ui in shown.items():
                if (node, id(ui)) in self._known:
                    kept_kind, _, names = self._known[node, id(ui)]
                    found |= {node: list(names)} if kept_kind == kind else {}
                    continue
                paths = [_path(image) for image in ui.get("images", ()) if image["type"] == kind]
                if paths and all(path in fresh for path in paths):
                    found[node] = list(paths)
            if found:
                return found
        return {}

    def _named(
        self, row: Row, results: Results, made: Mapping[str, Sequence[Path | str]]
    ) -> tuple[str, ...]:
        names: list[str] = []
        for node, paths in made.items():
            own: list[str] = []
            for path in paths:
                number = len(names) + len(own)
                own.append(path if isinstance(path, str) else self._keep(row.address, number, path))
            names += own
            if node in row.again:
                ui = results.ui[node]
                kind = ui["images"][0]["type"]
                self._known[node, id(ui)] = (kind, ui, tuple(own))
        return tuple(names)


def _sampled(graph: Graph, specs: Mapping[str, NodeSpec]) -> set[str]:
    """The nodes behind one that samples: that takes a model or a guider, and gives a latent."""
    samples = {
        node.id
        for node in graph.nodes.values()
        if "LATENT" in specs[node.type].outputs
        and {one.type for one in specs[node.type].inputs.values()} & {"MODEL", "GUIDER"}
    }
    found, before = samples, set[str]()
    while found != before:
        before = found
        found = found | {
            node.id
            for node in graph.nodes.values()
            if any(link.node in before for link in node.links.values())
        }
    return found


def _path(image: Mapping[str, str]) -> Path:
    kind: Any = image["type"]
    return folders.root(kind) / image["subfolder"] / image["filename"]
