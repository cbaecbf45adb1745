"""`controlstack run WORKFLOW`: a workflow file in, pictures out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..ground.errors import UserError
from ..ground.garbage import uncollected
from ..ground.parameters import setting
from ..ground.structured import is_text
from .options import command_of
from .places import PlaceOptions
from .progress import shown_progress
from .report import reported
from .say import note, say, tell

if TYPE_CHECKING:
    from ..headless.folders import Folders
    from ..headless.graph.execute import OnEvent, Results
    from ..headless.graph.model import Graph
    from ..headless.graph.problems import Problem
    from ..headless.graph.registry import Registry
    from ..headless.graph.workflow import Document


@dataclass(frozen=True, kw_only=True)
class ComputingOptions:
    """Where and in what networks compute; every command that runs workflows asks it."""

    device: str = setting("cpu", "Where networks compute: cpu, cuda or cuda:N.", metavar="DEVICE")
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = setting(
        "auto", "What U-Nets and ControlNets compute in; auto is fp32 on a CPU, else fp16."
    )


@dataclass(frozen=True, kw_only=True)
class NetOptions(ComputingOptions):
    """Which ControlNets are used, and how they compute; a sweep asks it, too."""

    control_net: tuple[str, ...] = setting(
        (),
        "A ControlNet (a folder, a run's checkpoint or a file) in the place of the one that the "
        "workflow loads; NODE= or NODE.INPUT= where it loads several. Repeat for more.",
        metavar="[NODE=]PATH",
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The command's argument and options."""

    workflow: Path = setting(
        MISSING,
        "JSON as saved or as sent (API), or a PNG that holds one.",
        metavar="WORKFLOW",
        argument=True,
    )
    demo: bool = setting(False, "Put the small demo models in the models' place.")
    settings: tuple[str, ...] = setting(
        (),
        "Change an input; NODE is an id, or a type or title (of one node or several). Repeat for "
        "more.",
        flag="--set",
        metavar="NODE.INPUT=VALUE",
    )
    seed: int | None = setting(
        None, "Set every seed; also chooses in {dynamic|prompts}.", metavar="N"
    )
    preset: Path | None = setting(
        None, "Settings for every stack, from Save Control Preset.", metavar="FILE"
    )
    out: Path = setting(Path("output"), "Folder for the pictures.", metavar="DIR")
    places: PlaceOptions = field(default_factory=PlaceOptions)
    report: Path | None = setting(
        None,
        "Folder for a report on what each control did, and why one did nothing.",
        metavar="DIR",
    )
    nets: NetOptions = field(default_factory=NetOptions)


def _run(options: RunOptions) -> None:
    """Run a ComfyUI workflow and print the names of the pictures it made.

    Models come from ./models; input pictures from ./input or from "input" beside the workflow.
    """
    began = time.perf_counter()
    from ..headless.graph.workflow import read_document

    document = read_document(options.workflow)  # before torch is imported
    places = options.places.folders(options.workflow, options.out)
    with reported(options.report) as hear, _named_on_stdout():
        results = _execute(document, places, options, hear)
        _say_texts(results)
    tell(f"{time.perf_counter() - began:.1f} s")


run_command = command_of(RunOptions, _run)


@contextmanager
def _named_on_stdout() -> Iterator[None]:
    """Names the pictures that were saved inside the block, or else those that were only shown; also
    where it ends with an error, so that nothing lies there unnamed.
    """
    from ..headless import folders

    with folders.saving() as saved:
        try:
            yield
        finally:
            for file in saved["output"] or saved["temp"]:
                say(file)


def _say_texts(results: Results) -> None:
    """The texts that nodes such as PreviewAny show: on standard output where nothing was saved."""
    words = say if not results.files("output") + results.files("temp") else tell
    for shown in results.ui.values():
        for text in shown.get("text", ()):
            for line in str(text).splitlines():
                words(line)


def _execute(document: Document, places: Folders, options: RunOptions, hear: OnEvent) -> Results:
    with uncollected():
        from ..demo.suiting import sized, standing, suited
        from ..ground.threads import one_thread
        from ..headless import computing, host
        from ..headless.graph.answer import answer
        from ..headless.graph.dynamic_prompts import Seeded
        from ..headless.graph.execute import Executor
        from ..headless.graph.given_nets import with_nets
        from ..headless.graph.registry import default_registry
        from ..headless.graph.validate import problems_of
        from ..headless.graph.without import without_onlookers
        from ..headless.overview.family import elsewhere, family_of
        from ..headless.overview.files import model_files

    chosen = computing.chosen(options.nets.device, options.nets.dtype)
    registry, demo = default_registry(), options.demo
    with host.use(places):
        draws = Seeded(options.seed or 0)
        graph = document.graph(registry, draws)
        graph = without_onlookers(graph, registry)
        graph, factor = sized(graph, registry) if demo else (graph, 1.0)
        if options.seed is not None and not draws.used and not _seeds(graph, options.seed):
            note("--seed has no effect: nothing in this workflow has a seed")
        graph, unset = set_values(graph, registry, options.settings, options.seed)
        if options.preset is not None:
            graph = _with_preset(graph, registry, options.preset)
        given = with_nets(graph, registry, options.nets.control_net)
        graph = suited(given.graph, registry, given.places) if demo else given.graph
        stands = standing([graph] if demo else [], registry, given.places)
    with host.use(replace(places, aliases=stands.aliases)), computing.use(chosen):
        wrong = [*problems_of(graph, registry), *unset]
        if wrong:
            also = [] if demo else elsewhere(family_of(graph, model_files(graph, registry)))
            raise answer([*also, *wrong], graph, registry)
        for line in [*graph.notes, *stands.notes(factor)]:
            note(line)
        with shown_progress(), one_thread() if demo else nullcontext():
            return Executor(registry).run(graph, hear, once=True)


def changed(
    graph: Graph, registry: Registry, settings: Sequence[str], seed: int | None = None
) -> Graph:
    """`graph` with the values of --set and --seed; a --set wins over --seed. Raises UserError for
    the first that cannot be set.
    """
    graph, unset = set_values(graph, registry, settings, seed)
    if unset:
        raise UserError(unset[0].words)
    return graph


def set_values(
    graph: Graph, registry: Registry, settings: Sequence[str], seed: int | None = None
) -> tuple[Graph, list[Problem]]:
    """As `changed`, with what cannot be set as problems, for an answer that says all at once."""
    from ..headless.graph.override import override
    from ..headless.graph.problems import Problem

    unset = []
    for target, value in [*_seeds(graph, seed), *map(_setting, settings)]:
        try:
            graph = override(graph, registry, target, value)
        except UserError as error:
            unset.append(Problem("setting", error.sentence))
    return graph, unset


def _with_preset(graph: Graph, registry: Registry, file: Path) -> Graph:
    from ..headless.graph.presets import with_preset
    from ..model_patch.preset import read_file, written

    return with_preset(graph, registry, written(read_file(file)), file.name)


def _seeds(graph: Graph, seed: int | None) -> list[tuple[str, str]]:
    from ..headless.graph.override import seeds_of

    if seed is None:
        return []
    return [(target, str(seed)) for target in seeds_of(graph)]


def _setting(text: str) -> tuple[str, str]:
    target, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text} has no value; write NODE.INPUT=VALUE, such as 3.steps=8")
    if not is_text(text):
        raise UserError(f"--set {text} holds bytes that are no text in UTF-8; write it anew")
    return target, value
