"""Of a collection of workflows: how many run here, and what the others lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.packs import CORE
from .overview import Overview, Status

WORDS: dict[Status, str] = {
    "runs": "runs here",
    "files": "runs here with its files",
    "family": "of a family that this host has no models of",
    "nodes": "lacks node types",
    "wrong": "has values or links that are wrong",
    "nothing": "holds nothing that can run",
    "none": "is no workflow",
}
"""A workflow's status, for a person; in the order in which a collection is counted."""


@dataclass(frozen=True)
class PackReach:
    """A pack whose nodes some workflows lack: how many of them, of how many it is all that they
    lack, and by node type how many workflows lack it.
    """

    workflows: int
    alone: int
    types: dict[str, int]


@dataclass(frozen=True)
class Reach:
    """Counts over a collection: workflows by status and by family ("" where it is not told), and
    what is lacking by pack, the most wanted first.
    """

    total: int
    statuses: dict[Status, int]
    families: dict[str, int]
    packs: dict[str, PackReach]

    def json(self) -> dict[str, Any]:
        """The data, for programs."""
        packs = {name: vars(one) for name, one in self.packs.items()}
        return {**vars(self), "packs": packs}


def reach_of(overviews: Sequence[Overview]) -> Reach:
    """Count."""
    statuses = Counter(one.status for one in overviews)
    families = Counter(one.family.name for one in overviews if one.nodes)
    types: dict[str, Counter[str]] = {}
    alone: Counter[str] = Counter()
    for one in overviews:
        for group in one.lacking:
            types.setdefault(group.pack, Counter()).update(group.nodes.keys())
        if len(one.lacking) == 1:
            alone[one.lacking[0].pack] += 1
    having = Counter(group.pack for one in overviews for group in one.lacking)
    return Reach(
        len(overviews),
        {status: statuses[status] for status in WORDS if statuses[status]},
        dict(families.most_common()),
        {
            pack: PackReach(count, alone[pack], dict(types[pack].most_common()))
            for pack, count in having.most_common()
        },
    )


def line_of(overview: Overview) -> str:
    """A workflow's status on one line."""
    if overview.status == "nodes":
        kinds = [kind for group in overview.lacking for kind in group.nodes]
        more = f" and {len(kinds) - 6} more" if len(kinds) > 6 else ""
        return f"lacks {', '.join(kinds[:6])}{more}"
    if overview.status == "family":
        return f"{WORDS['family']}: {overview.family.name}"
    if overview.status == "files":
        count = sum(one.kind == "file" for one in overview.problems)
        return f"runs here with its files: {count} not here"
    if overview.status == "wrong":
        first = next(one for one in overview.problems if one.kind != "file")
        return first.sentence
    return WORDS["runs"] if overview.status == "runs" else overview.why[0]


def pack_words(pack: str) -> str:
    """A pack as a person calls it."""
    return {CORE: "ComfyUI's own", "": "packs that no file names"}.get(pack, pack)
