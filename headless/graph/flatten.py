"""From the canvas to the graph: what ComfyUI's front end does when it queues a prompt.

Subgraphs are opened (a node 3 inside subgraph node 12 becomes "12:3"), reroutes and bypassed nodes
are followed through, primitive nodes and promoted fields become values, notes vanish. Muted nodes
go, and with them every node that cannot do without their output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ...ground.errors import UserError
from ...ground.wording import shown
from .model import Graph, Json, Link, Node, Value
from .prune import prune
from .registry import NodeSpec, Registry, types_fit
from .ui_format import BYPASSED, INPUT_BOUNDARY, MUTED, UiDocument, UiGraph, UiInput, UiLink, UiNode
from .widgets import is_seed_control, widget_values

REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
NOTES = frozenset({"Note", "MarkdownNote"})
PRIMITIVE = "PrimitiveNode"
# No person draws so many; subgraphs inside subgraphs multiply quickly.
MAX_NODES = 20_000


@dataclass(frozen=True)
class _Constant:
    """A link that ends at a value: a primitive node, or a field that a subgraph shows."""

    value: Json


@dataclass(frozen=True)
class _Gone:
    """A link that ends at nothing; `muted` is the node that would have fed it."""

    muted: str | None = None


_Source: TypeAlias = Link | _Constant | _Gone


@dataclass(frozen=True)
class _Scope:
    """One open canvas; `host` is the subgraph node in `parent` whose inside it is."""

    path: tuple[str, ...]
    graph: UiGraph
    host: UiNode | None = None
    parent: _Scope | None = None
    shown_values: Mapping[tuple[str, str], Json] = field(default_factory=dict)

    def full_id(self, node: UiNode) -> str:
        return ":".join((*self.path, node.id))


def flatten(document: UiDocument, registry: Registry, source: str) -> Graph:
    """The graph that the canvas means; `source` names the file in errors.

    Raises UserError for links to nothing, links in a circle, and subgraphs that hold themselves.
    """
    return _Flattener(document, registry, source).graph()


class _Flattener:
    def __init__(self, document: UiDocument, registry: Registry, source: str) -> None:
        self._workflow = document.json
        self._definitions = document.definitions
        self._specs = {
            node.type: registry.get(node.type)
            for graph in (document.canvas, *document.definitions.values())
            for node in graph.nodes.values()
        }
        self._source = source
        self._scopes: dict[tuple[str, ...], _Scope] = {}
        self._open(_Scope((), document.canvas))

    def graph(self) -> Graph:
        nodes: dict[str, Node] = {}
        starved: dict[str, str] = {}
        for scope, ui_node in self._real_nodes():
            spec = self._specs[ui_node.type]
            if spec is None and _is_furniture(ui_node):
                continue
            node_id = scope.full_id(ui_node)
            inputs, muted = self._inputs(scope, ui_node, spec)
            nodes[node_id] = Node(node_id, ui_node.type, inputs, ui_node.title or ui_node.type)
            if muted is not None:
                starved[node_id] = muted
        return prune(Graph(nodes, self._workflow, asleep=self._asleep()), starved, self._specs)

    def _open(self, root: _Scope) -> None:
        """Open the canvas and every subgraph in it that is not muted or bypassed."""
        waiting, total = [(root, frozenset[str]())], 0
        while waiting:
            scope, around = waiting.pop()
            self._scopes[scope.path] = scope
            total += len(scope.graph.nodes)
            if total > MAX_NODES:
                raise self._wrong(f"its subgraphs open into more than {MAX_NODES} nodes")
            for node in scope.graph.nodes.values():
                inner = self._definitions.get(node.type)
                if inner is None or node.mode in (MUTED, BYPASSED):
                    continue
                if node.type in around:
                    raise self._wrong(f"the subgraph {shown(inner.name)} holds itself")
                child = _Scope((*scope.path, node.id), inner, node, scope, self._shown(node, inner))
                waiting.append((child, around | {node.type}))

    def _shown(self, host: UiNode, inner: UiGraph) -> dict[tuple[str, str], Json]:
        """The values a subgraph node keeps for fields of its inside, by (inner node, field).

        ("-1", name) is the subgraph's own input `name`. Older files list the fields in
        `proxyWidgets`; newer ones keep one value for each input that is a field, in order.
        """
        stored = host.stored if isinstance(host.stored, list) else []
        fields = host.proxies or tuple(("-1", slot.name) for slot in self._promoted(inner))
        if len(stored) > len(fields):  # with the seed controls of the fields inside
            stored = [value for value in stored if not is_seed_control(value)]
        kept = {key: value for key, value in zip(fields, stored, strict=False) if value is not None}
        by_name = host.stored if isinstance(host.stored, dict) else {}
        named = {("-1", name): value for name, value in {**by_name, **host.named}.items()}
        return {**kept, **named}

    def _promoted(self, inner: UiGraph) -> Iterator[UiInput]:
        """The inputs of a subgraph that feed a field inside it."""
        fed = {
            link.slot
            for node in inner.nodes.values()
            for slot in node.inputs
            if slot.is_widget and slot.link is not None
            for link in [inner.links.get(slot.link)]
            if link is not None and link.origin == INPUT_BOUNDARY
        }
        return (slot for index, slot in enumerate(inner.inputs) if index in fed)

    def _asleep(self) -> tuple[Node, ...]:
        """The nodes that are muted or bypassed, without the inside of subgraphs that are."""
        return tuple(
            Node(scope.full_id(node), node.type, {}, node.title or node.type)
            for scope in self._scopes.values()
            for node in scope.graph.nodes.values()
            if node.mode in (MUTED, BYPASSED)
        )

    def _real_nodes(self) -> Iterator[tuple[_Scope, UiNode]]:
        virtual = REROUTES | NOTES | {PRIMITIVE}
        for scope in self._scopes.values():
            for node in scope.graph.nodes.values():
                hidden = node.mode in (MUTED, BYPASSED) or node.type in virtual
                if not hidden and node.type not in self._definitions:
                    yield scope, node

    def _inputs(
        self, scope: _Scope, node: UiNode, spec: NodeSpec | None
    ) -> tuple[dict[str, Value], str | None]:
        """The node's inputs, and the muted node that a required one would have come from."""
        fields = spec.widgets if spec is not None else []
        values = widget_values(fields, node.stored, node.named)
        # By name the canvas also keeps what is its own: an upload button, what a seed does next.
        known = values if spec is None else spec.live(values).inputs
        inputs: dict[str, Value] = {n: value for n, value in values.items() if n in known}
        for (inner, name), value in scope.shown_values.items():
            if inner == node.id:
                inputs[name] = value
        starved = None
        for slot in node.inputs:
            if slot.link is None:
                continue
            origin = self._follow(scope, self._link(scope, slot.link, node), slot.type)
            if isinstance(origin, Link):
                inputs[slot.name] = origin
            elif isinstance(origin, _Constant):
                inputs[slot.name] = origin.value
            elif origin.muted is not None:
                inputs.pop(slot.name, None)
                if spec is None or spec.requires(slot.name):
                    starved = origin.muted
        return inputs, starved

    def _follow(self, scope: _Scope, link: UiLink, wanted: str) -> _Source:
        """Where `link` really comes from, through boundaries, reroutes and bypassed nodes."""
        seen: set[tuple[tuple[str, ...], str]] = set()
        while True:
            if (scope.path, link.id) in seen:
                raise self._wrong(f"link {link.id} leads in a circle through reroutes")
            seen.add((scope.path, link.id))
            step = self._step(scope, link, wanted)
            if not isinstance(step, tuple):
                return step
            scope, link = step

    def _step(self, scope: _Scope, link: UiLink, wanted: str) -> tuple[_Scope, UiLink] | _Source:
        if link.origin == INPUT_BOUNDARY and scope.host is not None and scope.parent is not None:
            return self._out_of(scope, scope.host, scope.parent, link)
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            raise self._wrong(f"link {link.id} comes from node {link.origin}, which is not there")
        if node.mode == BYPASSED:
            return self._through(scope, node, _bypass_slot(node, link.slot, wanted))
        if node.type in REROUTES:
            return self._through(scope, node, 0)
        if node.mode == MUTED:
            return _Gone(muted=scope.full_id(node))
        if node.type == PRIMITIVE:
            return self._primitive(scope, node)
        if node.type in self._definitions:
            return self._into(scope, node, link.slot)
        return Link(scope.full_id(node), link.slot)

    def _out_of(
        self, scope: _Scope, host: UiNode, parent: _Scope, link: UiLink
    ) -> tuple[_Scope, UiLink] | _Source:
        """From a subgraph's input boundary to what feeds that input of the subgraph node."""
        if not 0 <= link.slot < len(scope.graph.inputs):
            raise self._wrong(
                f"the subgraph {shown(scope.graph.name)} has no input number {link.slot}"
            )
        name = scope.graph.inputs[link.slot].name
        outer = next((slot for slot in host.inputs if slot.name == name), None)
        if outer is not None and outer.link is not None:
            return parent, self._link(parent, outer.link, host)
        # A field of a subgraph that is itself inside one may be shown further out.
        for values, key in (
            (parent.shown_values, (host.id, name)),
            (scope.shown_values, ("-1", name)),
        ):
            if key in values:
                return _Constant(values[key])
        return _Gone()

    def _into(self, scope: _Scope, host: UiNode, slot: int) -> tuple[_Scope, UiLink] | _Source:
        inner = self._scopes[(*scope.path, host.id)]
        link = inner.graph.outputs.get(slot)
        return _Gone() if link is None else (inner, link)

    def _through(
        self, scope: _Scope, node: UiNode, slot: int | None
    ) -> tuple[_Scope, UiLink] | _Source:
        if slot is None or slot >= len(node.inputs):
            return _Gone()
        link = node.inputs[slot].link
        return _Gone() if link is None else (scope, self._link(scope, link, node))

    def _primitive(self, scope: _Scope, node: UiNode) -> _Source:
        shown_value = scope.shown_values.get((node.id, "value"))
        stored = node.stored
        if shown_value is None and isinstance(stored, list) and stored:
            shown_value = stored[0]
        return _Gone() if shown_value is None else _Constant(shown_value)

    def _link(self, scope: _Scope, link_id: str, node: UiNode) -> UiLink:
        link = scope.graph.links.get(link_id)
        if link is None:
            raise self._wrong(
                f"node {scope.full_id(node)} ({node.type}) is fed by link {link_id}, which is "
                "not there"
            )
        return link

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self._source} is no workflow that can run: {what}")


def _bypass_slot(node: UiNode, slot: int, wanted: str) -> int | None:
    """Which input a bypassed node hands on as output `slot`, by the canvas's own rule.

    The input of the same number where the types fit, then the first of exactly the wanted type,
    then the first that fits; None where nothing does.
    """
    kinds = [item.type for item in node.inputs]
    if wanted in ("*", ""):
        return slot if slot < len(kinds) else 0
    given = node.outputs[slot] if 0 <= slot < len(node.outputs) else wanted

    def fits(kind: str) -> bool:
        return types_fit(kind, given) and types_fit(kind, wanted)

    if 0 <= slot < len(kinds) and fits(kinds[slot]):
        return slot
    if wanted in kinds:
        return kinds.index(wanted)
    return next((index for index, kind in enumerate(kinds) if fits(kind)), None)


def _is_furniture(node: UiNode) -> bool:
    """Labels and remote controls of other packs: nodes that no link touches."""
    return not node.outputs and all(slot.link is None for slot in node.inputs)
