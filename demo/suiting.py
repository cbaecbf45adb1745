"""What `--demo` makes of a graph, for a run, a sweep and the server alike: its size, what the demo
models cannot hold, and which of them stand in for which files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from ..headless import folders, host
from ..headless.graph.model import Graph
from ..headless.graph.registry import Registry
from . import models
from .fitting import fitted
from .stand_ins import StandIn


@dataclass(frozen=True)
class Standing:
    """What stands in for the models that graphs name.

    Args:
        aliases: the files by kind and name, for `Folders.aliases`.
        nets: of each ControlNet that a demo net stands in for, which one, and why.
        given: the names of ControlNets that were given by their places, which are among `aliases`.
    """

    aliases: Mapping[str, Mapping[str, Path]]
    nets: Mapping[str, StandIn]
    given: frozenset[str] = frozenset()

    def notes(self, factor: float) -> list[str]:
        """What a person is told of it, and of sizes that were multiplied by `factor`."""
        named = {name for names in self.aliases.values() for name in names} - self.given
        said = [f"demo models stand in for {', '.join(sorted(named))}"] if named else []
        if factor != 1.0:
            them = "them" if named else "the demo models"
            said.append(f"sizes are scaled by {factor:.3g} to suit {them}")
        whys = [
            f"the demo's {one.kind} net stands in for {name}: {one.why}"
            for name, one in self.nets.items()
            if one.why
        ]
        return [*([", and ".join(said)] if said else []), *whys]


def sized(graph: Graph, registry: Registry) -> tuple[Graph, float]:
    """`graph` at the demo models' size, and what its sizes were multiplied by."""
    factor = models.scale_factor(graph)
    return models.scaled(graph, registry, factor), factor


def suited(graph: Graph, registry: Registry, given: Mapping[str, Path] | None = None) -> Graph:
    """`graph` without what the demo models cannot hold: its notes say what (`fitting.fitted`).

    Models are looked for in the current folders; `given` are ControlNets by name, wherever they
    lie.
    """
    with _with_nets(given or {}):
        return fitted(graph, registry)


def standing(
    graphs: Iterable[Graph], registry: Registry, given: Mapping[str, Path] | None = None
) -> Standing:
    """What stands in for all that `graphs` name, but for their own ControlNets, which are in the
    current folders and fit the demo, and for those `given`.

    Raises UserError where there are no demo models.
    """
    given = given or {}
    found: dict[str, dict[str, Path]] = {}
    nets: dict[str, StandIn] = {}
    with _with_nets(given):
        for graph in graphs:
            own = models.own_nets(graph, registry) | given.keys()
            nets = {**models.stand_ins(graph, registry, own), **nets}
            for kind, names in models.aliases(graph, registry, own).items():
                found.setdefault(kind, {}).update(names)
    if given:
        found.setdefault("controlnet", {}).update(given)
    return Standing(found, nets, frozenset(given))


def _with_nets(given: Mapping[str, Path]) -> AbstractContextManager[None]:
    return host.use(replace(folders.current(), aliases={"controlnet": given}))
