"""Where a link of the canvas really comes from: through subgraphs, reroutes, bypassed nodes and
Set and Get, to a node that is sent, to a value, or to nothing.

The rules are those of ComfyUI's front end 1.49.6 (`ExecutableNodeDTO`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ...ground.errors import UserError, several
from ...ground.wording import shown
from .canvas_nodes import PRIMITIVE, SETTER_OF, VALUES, VIRTUAL
from .model import Json, Link
from .registry import types_fit
from .ui_format import BYPASSED, INPUT_BOUNDARY, MUTED, UiGraph, UiInput, UiLink, UiNode
from .widgets import is_seed_control

# No person draws so many; subgraphs inside subgraphs multiply quickly.
MAX_NODES = 20_000


@dataclass(frozen=True)
class Constant:
    """A link that ends at a value: a primitive node, or a field that a subgraph shows."""

    value: Json
    shown: bool = False
    """Whether it is of a subgraph's field: such a text is sent as it is."""


@dataclass(frozen=True)
class Gone:
    """A link that ends at nothing; `muted` is the node that would have fed it, `shown` says that it
    is of a subgraph's field that keeps no value of its own.
    """

    muted: str | None = None
    shown: bool = False


Source: TypeAlias = Link | Constant | Gone


@dataclass(frozen=True)
class Scope:
    """One open canvas; `host` is the subgraph node in `parent` whose inside it is."""

    path: tuple[str, ...]
    graph: UiGraph
    host: UiNode | None = None
    parent: Scope | None = None
    shown_values: Mapping[tuple[str, str], Json] = field(default_factory=dict)

    def full_id(self, node: UiNode) -> str:
        """The node's id in the prompt."""
        return ":".join((*self.path, node.id))

    def around(self) -> Iterator[Scope]:
        """This canvas and those that it lies in, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


@dataclass(frozen=True)
class _Place:
    """A link on an open canvas, and the type that what it feeds takes."""

    scope: Scope
    link: UiLink
    wanted: str


class Canvas:
    """The open canvases of a workflow. `source` names the file in errors."""

    def __init__(self, canvas: UiGraph, definitions: Mapping[str, UiGraph], source: str) -> None:
        self.scopes: dict[tuple[str, ...], Scope] = {}
        self.definitions = definitions
        self._source = source
        self._unset: dict[str, None] = {}
        self._open(Scope((), canvas))

    def source(self, scope: Scope, slot: UiInput, node: UiNode) -> Source:
        """What feeds the linked input `slot` of `node`."""
        assert slot.link is not None
        place = _Place(scope, self._link(scope, slot.link, node), slot.type)
        primitive = scope.graph.nodes.get(place.link.origin)
        if primitive is not None and primitive.type == PRIMITIVE:
            return self._primitive(scope, primitive)  # whether it is muted, bypassed or neither
        return self._follow(place)

    def require_set(self) -> None:
        """Raise UserError with each Get that was followed and has no Set."""
        if self._unset:
            many = f"{self._source} cannot run, {len(self._unset)} nodes take what nothing sets:"
            raise several(
                many, [f"{self._source}: {line}" for line in self._unset], len(self._unset)
            )

    def _open(self, root: Scope) -> None:
        """Open the canvas and every subgraph in it that is not muted or bypassed.

        The front end also sends what is inside a muted subgraph that lies in another one: nodes
        that nothing needs, whose types may not be known here.
        """
        waiting, total = [(root, frozenset[str]())], 0
        while waiting:
            scope, around = waiting.pop()
            self.scopes[scope.path] = scope
            total += len(scope.graph.nodes)
            if total > MAX_NODES:
                raise self.wrong(f"its subgraphs open into more than {MAX_NODES} nodes")
            for node in scope.graph.nodes.values():
                inner = self.definitions.get(node.type)
                if inner is None or node.mode in (MUTED, BYPASSED):
                    continue
                if node.type in around:
                    raise self.wrong(f"the subgraph {shown(inner.name)} holds itself")
                child = Scope((*scope.path, node.id), inner, node, scope, self._shown(node, inner))
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

    def _follow(self, place: _Place) -> Source:
        seen: set[tuple[tuple[str, ...], str]] = set()
        while True:
            if (place.scope.path, place.link.id) in seen:
                raise self.wrong(f"link {place.link.id} leads in a circle through reroutes")
            seen.add((place.scope.path, place.link.id))
            step = self._step(place)
            if not isinstance(step, _Place):
                return step
            place = step

    def _step(self, place: _Place) -> _Place | Source:
        scope, link = place.scope, place.link
        if link.origin == INPUT_BOUNDARY and scope.host is not None and scope.parent is not None:
            return self._out_of(scope, scope.host, scope.parent, link)
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            raise self.wrong(f"link {link.id} comes from node {link.origin}, which is not there")
        if node.mode == MUTED:
            return Gone(muted=scope.full_id(node))
        if node.mode == BYPASSED:
            slot = _bypass_slot(node, link.slot, place.wanted)
            return self._through(scope, node, slot, None)
        if node.type in SETTER_OF:
            return self._set(scope, node, place.wanted)
        if node.type in VALUES:
            return _value_of(node)
        if node.type in VIRTUAL:
            return self._through(scope, node, link.slot, place.wanted)
        if node.type in self.definitions:
            return self._into(scope, node, link.slot, place.wanted)
        return Link(scope.full_id(node), link.slot)

    def _out_of(self, scope: Scope, host: UiNode, parent: Scope, link: UiLink) -> _Place | Source:
        """From a subgraph's input boundary to what feeds that input of the subgraph node."""
        if not 0 <= link.slot < len(scope.graph.inputs):
            raise self.wrong(
                f"the subgraph {shown(scope.graph.name)} has no input number {link.slot}"
            )
        name = scope.graph.inputs[link.slot].name
        outer = next((slot for slot in host.inputs if slot.name == name), None)
        if outer is not None and outer.link is not None:
            return _Place(parent, self._link(parent, outer.link, host), outer.type)
        # A field of a subgraph that is itself inside one may be shown further out.
        for values, key in (
            (parent.shown_values, (host.id, name)),
            (scope.shown_values, ("-1", name)),
        ):
            if key in values:
                return Constant(values[key], shown=True)
        return Gone(shown=True)

    def _into(self, scope: Scope, host: UiNode, slot: int, wanted: str) -> _Place | Source:
        inner = self.scopes[(*scope.path, host.id)]
        link = inner.graph.outputs.get(slot)
        return Gone() if link is None else _Place(inner, link, wanted)

    def _through(
        self, scope: Scope, node: UiNode, slot: int | None, wanted: str | None
    ) -> _Place | Source:
        """To what feeds input `slot` of `node`, which takes `wanted`, or else its own type."""
        if slot is None or not 0 <= slot < len(node.inputs):
            return Gone()
        given = node.inputs[slot]
        if given.link is None:
            return Gone()
        return _Place(scope, self._link(scope, given.link, node), wanted or given.type)

    def _set(self, scope: Scope, getter: UiNode, wanted: str) -> _Place | Source:
        """To what feeds the Set of the name that `getter` has, on its canvas or one around it;
        several around it are none to the pack.
        """
        name, kind = _name_of(getter), SETTER_OF[getter.type]
        found = [
            (outer, node)
            for outer in scope.around()
            for node in outer.graph.nodes.values()
            if node.type == kind and name and _name_of(node) == name
        ]
        if not found:
            self._unset[
                f"node {scope.full_id(getter)} ({getter.type}) takes {shown(name)}, which no "
                f"{kind} sets: add one of that name, or choose another"
            ] = None
        elif found[0][0] is scope or len(found) == 1:
            return self._through(*found[0], 0, wanted)
        return Gone()

    def _primitive(self, scope: Scope, node: UiNode) -> Source:
        shown_value = scope.shown_values.get((node.id, "value"))
        return _value_of(node) if shown_value is None else Constant(shown_value)

    def _link(self, scope: Scope, link_id: str, node: UiNode) -> UiLink:
        link = scope.graph.links.get(link_id)
        if link is None:
            raise self.wrong(
                f"node {scope.full_id(node)} ({node.type}) is fed by link {link_id}, which is "
                "not there"
            )
        return link

    def wrong(self, what: str) -> UserError:
        """The error that says `what` is wrong with the file."""
        return UserError(f"{self._source} is no workflow that can run: {what}")


def _value_of(node: UiNode) -> Source:
    """The value of a node's first field."""
    value = node.stored[0] if isinstance(node.stored, list) and node.stored else None
    return Gone() if value is None else Constant(value)


def _name_of(node: UiNode) -> str:
    """What a Set or Get is called: its one field."""
    value = _value_of(node)
    name = value.value if isinstance(value, Constant) else node.named.get("Constant")
    return name if isinstance(name, str) else ""


def _bypass_slot(node: UiNode, slot: int, wanted: str) -> int | None:
    """Which input a bypassed node hands on as output `slot`, by the canvas's own rule.

    The input of the same number where the types fit, then the first of exactly the wanted type,
    then the first that fits; None where nothing does. Fields are inputs like others, behind those.
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
