"""All that is wrong with a graph in one block of lines, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...ground.errors import UserError
from ...ground.not_found import NotFound
from ...ground.wording import listing, shown
from .model import Graph, Node, plain
from .packs import CORE, OURS, pack_of, packs_in
from .problems import Problem, ids_in_words
from .registry import Registry
from .without import way_without


@dataclass(frozen=True)
class Lacking:
    """Node types that are not known here, of one pack ("": the file names none): the ids of the
    nodes of each."""

    pack: str
    nodes: dict[str, list[str]]

    @property
    def words(self) -> str:
        """ "comfyui_essentials: ImageResize+ (node 8)"."""
        types = (f"{plain(kind)} ({ids_in_words(ids)})" for kind, ids in self.nodes.items())
        return f"{_PACKS.get(self.pack, self.pack)}: {', '.join(types)}"


_PACKS = {
    "": "of packs that the file does not name",
    CORE: "ComfyUI's own",
    OURS: "of a newer ControlStack",
}


def lacking(graph: Graph, registry: Registry, nodes: Iterable[Node]) -> list[Lacking]:
    """`nodes`, whose types are not known here, by the packs that they come from (`pack_of`); those
    whose pack nothing tells come last.
    """
    told = packs_in(graph.workflow)
    found: dict[str, dict[str, list[str]]] = {}
    for node in nodes:
        pack = pack_of(node.type, registry, told)
        found.setdefault(pack, {}).setdefault(node.type, []).append(node.id)
    return [Lacking(pack, found[pack]) for pack in sorted(found, key=lambda one: one == "")]


def answer(problems: Sequence[Problem], graph: Graph, registry: Registry) -> UserError:
    """The error that says all `problems` of a graph: one as a sentence, more of them a line each
    under how many there are."""
    strange = [one.node for one in problems if one.kind == "node_type" and one.node is not None]
    lost = [one for one in problems if one.kind == "file"]
    others = [one for one in problems if one.kind not in ("node_type", "file")]
    elsewhere = any(one.kind == "family" for one in problems)
    of_types = list(_of_types(graph, registry, strange, elsewhere)) if strange else []
    if not of_types and len(problems) == 1:
        return UserError(problems[0].sentence)
    if not lost and not others:
        heading, *lines = of_types
        return UserError(heading, lines)
    count = len({node.type for node in strange}) + len(lost) + len(others)
    if of_types:
        of_types = [of_types[0], *(f"  {line}" for line in of_types[1:])]
    return UserError(
        f"the workflow cannot run, {count} things are wrong:",
        [*of_types, *(one.sentence for one in others), *(_of_files(lost) if lost else ())],
    )


def _of_types(
    graph: Graph, registry: Registry, nodes: Sequence[Node], elsewhere: bool
) -> Iterator[str]:
    """A heading, a line for each pack, and what it would take; nothing would make it run here where
    its models run `elsewhere` alone."""
    groups = lacking(graph, registry, nodes)
    kinds = [kind for group in groups for kind in group.nodes]
    count = "a node type" if len(kinds) == 1 else f"{len(kinds)} node types"
    yield f"this host does not have {count} of the workflow:"
    for group in groups:
        yield group.words
    if ours := _ours(kinds):
        yield f"there is {ours}"
    if any(kind.startswith(("workflow>", "workflow/")) for kind in kinds):
        yield "group nodes (workflow>...) run once ComfyUI has converted them to subgraphs"
    packs = [group.pack for group in groups if group.pack not in ("", CORE, OURS)]
    which = f" with {listing(packs)}" if packs else ""
    if any(group.pack == "" for group in groups):
        which += " and those that have the others" if packs else " with the packs that have them"
    yield f"it would run in ComfyUI{which}"
    if elsewhere:
        return
    way = way_without(graph, registry)
    yield "no output would be left without these nodes" if way is None else way.words


def _ours(kinds: Iterable[str]) -> str:
    """Which of our nodes stand for those of `kinds` that are other packs' preprocessors."""
    from ...preprocessors.names import equal_of

    found = [(kind, entry) for kind in kinds if (entry := equal_of(kind)) is not None]
    return listing(f"{entry.title} for {plain(kind)}" for kind, entry in found) if found else ""


def _of_files(problems: Sequence[Problem]) -> Iterator[str]:
    """A line for each file that is not there, with all its nodes; what is there instead; and where
    the files belong."""
    if len(problems) == 1:
        yield problems[0].sentence
        return
    users: dict[tuple[str, str], list[Problem]] = {}
    places: dict[tuple[Path, ...], NotFound] = {}
    for one in problems:
        assert one.file is not None
        if not one.file.places:
            yield one.sentence
            continue
        users.setdefault((one.file.what, one.file.name), []).append(one)
        places.setdefault(one.file.places, one.file)
    for (what, name), found in users.items():
        at = listing(dict.fromkeys(one.node.label for one in found if one.node is not None))
        url = f"; the workflow's author got it from {found[0].url}" if found[0].url else ""
        yield f"{at}: there is no {what} {shown(name)}{url}"
    for folders, file in places.items():
        if file.there:
            yield f"in {listing(folders)} there is {listing(file.there)}"
    if not places:
        return
    where = listing(dict.fromkeys(folder for folders in places for folder in folders))
    yield f"put the files there, or name others; they are looked for in {where}"
