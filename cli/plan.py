"""`controlstack plan WORKFLOW`: when and how strongly each control would act, without a run."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..ground.errors import UserError
from ..ground.garbage import uncollected
from ..ground.parameters import OVERWRITE, setting
from .options import command_of
from .places import PlaceOptions
from .run import changed
from .say import note, say, tell

if TYPE_CHECKING:
    from ..headless.planning.plan import WorkflowPlan

STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The command's argument and options."""

    workflow: Path = setting(
        MISSING,
        "JSON as saved or as sent (API), or a PNG that holds one.",
        metavar="WORKFLOW",
        argument=True,
    )
    out: Path = setting(Path("plan.png"), "The picture to draw, a PNG.", metavar="FILE")
    json: Path | None = setting(
        None, "Write the data too, as JSON; - is standard output.", metavar="FILE"
    )
    settings: tuple[str, ...] = setting(
        (),
        "Change an input; NODE is an id, or a type or title (of one node or several). Repeat for "
        "more.",
        flag="--set",
        metavar="NODE.INPUT=VALUE",
    )
    places: PlaceOptions = field(default_factory=PlaceOptions)
    overwrite: bool = setting(False, OVERWRITE)


def _plan(options: PlanOptions) -> None:
    """Draw when and how strongly each control of a workflow acts, for each sampler in it.

    No model is loaded, and none has to be there. Nodes that are not known here are passed through.
    """
    with uncollected():  # the command is little more than torch's import
        _draw(options)


plan_command = command_of(PlanOptions, _plan)


def _draw(options: PlanOptions) -> None:
    from ..ground.ours import Results
    from ..ground.places import identity
    from ..headless.graph.workflow import read_document

    document = read_document(options.workflow)  # before torch is imported
    if options.out.suffix.lower() != ".png":
        raise UserError(f"--out {options.out}: the picture is a PNG; give it a name that ends .png")
    written = {"--out": options.out}
    if options.json is not None and options.json != STDOUT:
        written["--json"] = options.json
    results = Results([options.workflow], options.overwrite)
    taken: dict[object, str] = {}
    for flag, file in written.items():
        results.expect(file)
        if (other := taken.setdefault(identity(file), flag)) != flag:
            raise UserError(f"{flag} {file} is the file of {other} too; give it another name")
    from ..headless import host
    from ..headless.planning.plan import plan_of
    from ..headless.planning.walk import planning_registry
    from ..inspection.timeline_picture import draw

    with host.use(options.places.folders(options.workflow, options.out.parent)):
        registry = planning_registry()
        graph = changed(document.graph(registry), registry, options.settings)
        plan = plan_of(graph, registry)
    for one in plan.notes:
        note(one)
    made = [timeline for _, timeline in plan.timelines]
    text = json.dumps(plan.json(), indent=2)
    if options.json == STDOUT:
        for line in text.splitlines():
            say(line)
    else:
        _tell(plan)
    if made:
        results.write(options.out, draw(made))
    files = [options.out] if made else []
    if options.json is not None and options.json != STDOUT:
        results.write(options.json, f"{text}\n".encode())
        files.append(options.json)
    for file in files:
        (tell if options.json == STDOUT else say)(file)


def _tell(plan: WorkflowPlan) -> None:
    """The plan in words, a line a control."""
    for _, timeline in plan.timelines:
        tell(timeline.title)
        for line in timeline.lines:
            runs = f"its net runs in {line.runs} step{'' if line.runs == 1 else 's'}"
            tell(
                f"  {line.name}: {line.words}, {runs}, about {timeline.share(line):.0%} of the cost"
                if line.active
                else f"  {line.name}: no step: {line.silent}"
            )
        if not timeline.lines:
            tell("  no control acts here")
        for one in timeline.notes:
            note(one)
