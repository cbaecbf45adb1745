"""A graph without its nodes of unknown types: which can simply go, and what muting or bypassing
the others would leave."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from .model import Graph, Link, Node
from .needed import ends_of, is_output, needed_nodes
from .problems import ids_in_words
from .registry import NodeSpec, Registry, types_fit

Specs = Mapping[str, NodeSpec]


def without_onlookers(graph: Graph, registry: Registry) -> Graph:
    """`graph` without the nodes of unknown types that only look on: no output node that is known
    needs them, and every latent that they would see is made for one that is known. The graph's
    notes say which went. Where no known output is left, the graph stays as it is.
    """
    known, strange = _known(graph, registry)
    needed = set(needed_nodes(graph, known))
    idle = [one for one in strange if one.id not in needed]
    if not idle or not any(
        known[graph.nodes[key].type].is_output for key in _of(needed, graph, known)
    ):
        return graph
    lookers = _onlookers(graph, known, idle, needed)
    if not lookers:
        return graph
    kept = {key: node.without(lookers) for key, node in graph.nodes.items() if key not in lookers}
    notes = (
        f"{graph.nodes[key].label} is left out: its type is not known here, and no picture needs it"
        for key in graph.nodes
        if key in lookers
    )
    return replace(graph, nodes=kept, notes=(*graph.notes, *notes))


@dataclass(frozen=True)
class Way:
    """Which nodes to mute and which to bypass so that the rest runs, and the output nodes that are
    lost by it."""

    muted: tuple[str, ...]
    bypassed: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def words(self) -> str:
        """ "with node 6 bypassed and nodes 5, 7 muted it would run here, with another picture"."""
        parts = [
            f"{ids_in_words(list(ids))} {what}"
            for what, ids in (("bypassed", self.bypassed), ("muted", self.muted))
            if ids
        ]
        other = ", with another picture" if self.bypassed else ""
        lost = f", without the output of {ids_in_words(list(self.lost))}" if self.lost else ""
        return f"with {' and '.join(parts)} it would run here{other}{lost}"


def way_without(graph: Graph, registry: Registry) -> Way | None:
    """How the graph would run without its nodes of unknown types; None where no output is left.

    Muting alone leaves the pictures that it leaves as they were, and is preferred to bypassing
    where no more outputs are lost by it.
    """
    known, strange = _known(graph, registry)
    outputs = [node.id for node in graph.nodes.values() if is_output(node, known)]
    ways = []
    for bypass in (False, True):
        left, through = _left(graph, known, outputs, bypass)
        if left:
            bypassed = tuple(node.id for node in strange if node.id in through)
            muted = tuple(node.id for node in strange if node.id not in through)
            lost = tuple(key for key in outputs if key not in left)
            ways.append((len(lost), bypass, Way(muted, bypassed, lost)))
    return min(ways, key=lambda one: one[:2])[2] if ways else None


def _known(graph: Graph, registry: Registry) -> tuple[dict[str, NodeSpec], list[Node]]:
    known = registry.specs(graph)
    return known, [node for node in graph.nodes.values() if node.type not in known]


def _of(keys: Collection[str], graph: Graph, known: Specs) -> Iterator[str]:
    return (key for key in keys if graph.nodes[key].type in known)


def _onlookers(
    graph: Graph, known: Specs, idle: Collection[Node], needed: Collection[str]
) -> set[str]:
    """Of the nodes that no known output needs, those whose ends see no latent of their own."""
    wanting = set[str]()
    for end in ends_of(graph, idle):
        above = set(needed_nodes(graph, {}, further=[end]))
        own = [key for key in _of(above, graph, known) if key not in needed]
        if any("LATENT" in known[graph.nodes[key].type].outputs for key in own):
            wanting |= above
    return {node.id for node in idle if node.id not in wanting}


def _left(
    graph: Graph, known: Specs, outputs: Collection[str], bypass: bool
) -> tuple[set[str], set[str]]:
    """The output nodes that still run, and the unknown ones that have to be led through for it."""
    sources: dict[str, list[_Source]] = {}
    waiting = list(outputs)
    while waiting:
        if (key := waiting.pop()) not in sources:
            sources[key] = _sources(graph, known, graph.nodes[key], bypass)
            waiting += [one.node for one in sources[key] if one.node is not None]
    edges = {key: [one.node for one in found if one.node] for key, found in sources.items()}
    through: dict[str, set[str]] = {}
    """By node that runs, the unknown ones on the way to it."""
    try:
        order = list(TopologicalSorter(edges).static_order())
    except CycleError:  # the check names it
        return set(), set()
    for key in order:
        fed = [one for one in sources[key] if one.node in through]
        if all(one in fed for one in sources[key] if one.required):
            ways = [one.led | through[one.node] for one in fed if one.node is not None]
            through[key] = set[str]().union(*ways)
    left = {key for key in outputs if key in through}
    return left, set[str]().union(*(through[key] for key in left))


@dataclass(frozen=True)
class _Source:
    """What feeds an input: a known node, and the unknown ones that are led through; None where
    nothing does without these."""

    node: str | None
    led: frozenset[str]
    required: bool


def _sources(graph: Graph, known: Specs, node: Node, bypass: bool) -> list[_Source]:
    found = []
    for name, declared in known[node.type].live(node.inputs).inputs.items():
        link = node.inputs.get(name)
        if isinstance(link, Link) and link.node in graph.nodes:
            source, led = _led(graph, known, link, declared.type, bypass)
            found.append(_Source(source, frozenset(led), declared.required))
    return found


def _led(
    graph: Graph, known: Specs, link: Link, wanted: str, bypass: bool
) -> tuple[str | None, set[str]]:
    """The known node that a link comes from, behind bypassed ones, and these; None where there is
    none."""
    led = set[str]()
    while (origin := graph.nodes.get(link.node)) is not None:
        if origin.type in known:
            outputs = known[origin.type].outputs
            fits = 0 <= link.slot < len(outputs) and types_fit(outputs[link.slot], wanted)
            return (origin.id if fits else None), led
        if not bypass or origin.id in led or wanted == "*":
            return None, set()
        led.add(origin.id)
        behind = [one for one in origin.links.values() if _gives(graph, known, one, wanted, led)]
        if not behind:
            return None, set()
        link = behind[0]
    return None, set()


def _gives(graph: Graph, known: Specs, link: Link, wanted: str, seen: Collection[str]) -> bool:
    """Whether a link can bring a `wanted` at last."""
    waiting, looked = [link], set(seen)
    while waiting:
        link = waiting.pop()
        origin = graph.nodes.get(link.node)
        if origin is None or origin.id in looked:
            continue
        if origin.type not in known:
            looked.add(origin.id)
            waiting += origin.links.values()
            continue
        outputs = known[origin.type].outputs
        if 0 <= link.slot < len(outputs) and wanted in outputs[link.slot].split(","):
            return True
    return False
