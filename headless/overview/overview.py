"""One workflow looked at: what it is made of, and whether it runs here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ...ground.errors import UserError
from ...preprocessors.weights import HINT_NETWORK
from .. import folders
from ..graph.answer import Lacking, answer, lacking
from ..graph.model import Graph, Link, Node
from ..graph.packs import pack_of, packs_in
from ..graph.problems import Problem
from ..graph.registry import SEED_INPUTS, Registry
from ..graph.validate import problems_of
from ..graph.without import without_onlookers
from ..graph.workflow import Document
from ..planning.plan import WorkflowPlan, plan_of
from ..planning.walk import planning_registry
from .family import Family, elsewhere, family_of
from .files import ModelFile, model_files

Status: TypeAlias = Literal["runs", "files", "wrong", "family", "nodes", "nothing", "none"]
"""Whether it runs here: at once; with files that are not there; not, as values or links are wrong;
not, as its family has no models here; not, as node types are not known; not, as nothing of it can
run; and what is no workflow."""


@dataclass(frozen=True)
class Overview:
    """What a workflow is.

    Args:
        source: its file.
        status: whether it runs here.
        why: what is in the way besides files that are not there, a line each.
        pictures: the input files that are not there.
        networks: of each hint network that is not there, where to get it.
        nodes: by pack ("" where it is not known) how many of each type run.
        asleep: how many nodes are muted or bypassed.
        sizes: the latents that it begins with, in words.
        plan: the samplers with their controls.
        notes: what was left out or assumed.
    """

    source: str
    status: Status
    why: tuple[str, ...]
    family: Family
    files: tuple[ModelFile, ...]
    pictures: tuple[str, ...]
    networks: tuple[str, ...]
    nodes: Mapping[str, Mapping[str, int]]
    asleep: int
    sizes: tuple[str, ...]
    samplers: Mapping[str, str]
    plan: WorkflowPlan | None
    problems: tuple[Problem, ...]
    lacking: tuple[Lacking, ...]
    notes: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The data, for programs; `plan` is as `controlstack plan --json` writes it."""
        return {
            "workflow": self.source,
            "status": self.status,
            "why": list(self.why),
            "family": {"name": self.family.name, "by": self.family.by},
            "models": [file.json() for file in self.files],
            "pictures": list(self.pictures),
            "networks": list(self.networks),
            "nodes": {pack: dict(types) for pack, types in self.nodes.items()},
            "asleep": self.asleep,
            "sizes": list(self.sizes),
            "samplers": dict(self.samplers),
            "plan": None if self.plan is None else self.plan.json(),
            "problems": [one.json() for one in self.problems],
            "lacking": {one.pack: one.nodes for one in self.lacking},
            "notes": list(self.notes),
        }


def overview_of(document: Document, registry: Registry) -> Overview:
    """Look at a workflow; nothing of it is run, and no model or picture has to be there."""
    try:
        graph = document.graph(registry)
    except UserError as error:
        return nothing_of(document.source, error, "nothing")
    # What would run is judged, and all that is drawn is told.
    judged = without_onlookers(graph, registry)
    files = tuple(model_files(graph, registry))
    family = family_of(graph, files)
    problems = [*elsewhere(family), *problems_of(judged, registry)]
    plan, unplanned = _plan(document)
    lost = [(one, one.file) for one in problems if one.file is not None]
    strange = [node for node in judged.nodes.values() if node.type not in registry]
    return Overview(
        source=document.source,
        status=_status(problems),
        why=_why(problems, judged, registry),
        family=family,
        files=files,
        pictures=tuple(dict.fromkeys(f.name for _, f in lost if f.what == folders.PICTURE)),
        networks=tuple(one.sentence for one, f in lost if f.what == HINT_NETWORK),
        nodes=_by_pack(graph, registry),
        asleep=len(graph.asleep),
        sizes=tuple(_sizes(graph)),
        samplers=_samplers(graph, plan),
        plan=plan,
        problems=tuple(problems),
        lacking=tuple(lacking(judged, registry, strange)),
        notes=tuple(dict.fromkeys((*judged.notes, *unplanned, *(plan.notes if plan else ())))),
    )


def nothing_of(source: str, error: UserError, status: Status = "none") -> Overview:
    """Of a file that holds no workflow, or one of which nothing can run, with why."""
    said = (error.sentence, *error.details)
    family = Family("", "nothing of it can run")
    return Overview(source, status, said, family, (), (), (), {}, 0, (), {}, None, (), (), ())


def _plan(document: Document) -> tuple[WorkflowPlan | None, tuple[str, ...]]:
    """The plan, or why there is none."""
    registry = planning_registry()
    try:
        return plan_of(document.graph(registry), registry, glance=True), ()
    except UserError as error:
        return None, (error.sentence,)


def _status(problems: list[Problem]) -> Status:
    kinds = {one.kind for one in problems}
    if "node_type" in kinds:
        return "nodes"
    if "family" in kinds:
        return "family"
    return "wrong" if kinds - {"file"} else "files" if kinds else "runs"


def _why(problems: list[Problem], graph: Graph, registry: Registry) -> tuple[str, ...]:
    others = [one for one in problems if one.kind != "file"]
    if not others:
        return ()
    error = answer(others, graph, registry)
    return (error.sentence, *(f"  {line}" for line in error.details))


def _by_pack(graph: Graph, registry: Registry) -> dict[str, dict[str, int]]:
    told = packs_in(graph.workflow)
    counts = Counter(node.type for node in graph.nodes.values())
    found: dict[str, dict[str, int]] = {}
    for kind, count in sorted(counts.items()):
        found.setdefault(pack_of(kind, registry, told), {})[kind] = count
    return dict(sorted(found.items(), key=lambda one: (one[0] == "", one[0])))


def _sizes(graph: Graph) -> list[str]:
    """ "512 x 768, 2 pictures, by node 5 (EmptyLatentImage)": of each empty latent."""
    found = []
    for node in graph.nodes.values():
        width, height = node.inputs.get("width"), node.inputs.get("height")
        if "Latent" in node.type and "Empty" in node.type:
            size = f"{_in_words(width)} x {_in_words(height)}"
            count = node.inputs.get("batch_size", 1)
            many = f", {_in_words(count)} pictures" if count != 1 else ""
            found.append(f"{size}{many}, by {node.label}")
    return found


def _in_words(value: Any) -> str:
    return f"what node {value.node} gives" if isinstance(value, Link) else str(value)


def _samplers(graph: Graph, plan: WorkflowPlan | None) -> dict[str, str]:
    """By the id of each node that samples, what stands in it besides its steps."""
    nodes = [node for node, _ in plan.timelines] if plan is not None else []
    return {node.id: _settings(graph.nodes.get(node.id, node)) for node in nodes}


def _settings(node: Node) -> str:
    """ "euler, cfg 8, seed 7"."""
    values = {name: value for name, value in node.inputs.items() if name not in node.links}
    said = [str(values["sampler_name"])] if "sampler_name" in values else []
    said += [f"cfg {values['cfg']}"] if "cfg" in values else []
    said += [f"seed {values[name]}" for name in SEED_INPUTS if values.get(name) is not None][:1]
    return ", ".join(said)
