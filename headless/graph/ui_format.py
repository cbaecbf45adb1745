"""UI-format JSON, what ComfyUI's canvas saves, as plain records: both of litegraph's schemas.

Schema 0.4 writes links as arrays, schema 1.0 (and every subgraph) as objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ...ground.errors import UserError
from ...ground.structured import Json, JsonObject, object_at, text_at
from ...ground.wording import shown

# The ids of a subgraph's own input and output boundary, which look like nodes to links.
INPUT_BOUNDARY, OUTPUT_BOUNDARY = "-10", "-20"

MUTED, BYPASSED = 2, 4


@dataclass(frozen=True)
class UiInput:
    """An input slot of a node; `link` is the id of the link that feeds it, `label` what the canvas
    calls it where that is not its name.
    """

    name: str
    type: str
    link: str | None
    is_widget: bool
    label: str = ""


@dataclass(frozen=True)
class UiNode:
    """A node as drawn on the canvas."""

    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[UiInput, ...]
    outputs: tuple[str, ...]
    stored: Json
    named: Mapping[str, Json]
    proxies: tuple[tuple[str, str], ...]
    drawn: JsonObject = field(default_factory=dict)
    """The node as the file has it: where it lies, its colour, what packs keep in it."""


@dataclass(frozen=True)
class UiLink:
    """From output `slot` of `origin`; for a boundary target, `target_slot` is the subgraph's
    output.
    """

    id: str
    origin: str
    slot: int
    target: str
    target_slot: int
    type: str = "*"


@dataclass(frozen=True)
class UiGraph:
    """A canvas: the workflow's own, or the inside of a subgraph with its inputs and outputs."""

    name: str
    nodes: Mapping[str, UiNode]
    links: Mapping[str, UiLink]
    inputs: tuple[UiInput, ...]
    outputs: Mapping[int, UiLink]
    drawn: JsonObject = field(default_factory=dict)
    """The canvas as the file has it: its groups, and what it gives out where nothing feeds that."""


@dataclass(frozen=True)
class UiDocument:
    """A workflow as the canvas saves it: its own canvas, those of subgraphs by id, and its JSON."""

    canvas: UiGraph
    definitions: Mapping[str, UiGraph]
    json: JsonObject


def read_ui(document: JsonObject, source: str) -> UiDocument:
    """A UI document's records. Raises UserError, naming `source`, for what is not of the format."""
    reader = _Reader(source)
    definitions: dict[str, UiGraph] = {}
    waiting = [document]
    while waiting:
        outer = waiting.pop()
        listed = reader.object(outer.get("definitions") or {}, "definitions").get("subgraphs")
        for item in reader.list(listed or [], "definitions.subgraphs"):
            inner = reader.object(item, "a subgraph")
            definitions[reader.id(inner.get("id"), "a subgraph")] = reader.graph(inner)
            waiting.append(inner)
    return UiDocument(reader.graph(document), definitions, document)


def read_graph(item: JsonObject, source: str) -> UiGraph:
    """One canvas's records: of a subgraph that is not among the file's. Raises as `read_ui`."""
    return _Reader(source).graph(item)


_T = TypeVar("_T", dict[str, Json], list[Json])


@dataclass(frozen=True)
class _Reader:
    """Turns JSON into records, or into the sentence that says what is wrong with it."""

    source: str

    def graph(self, item: JsonObject) -> UiGraph:
        nodes = [self.node(node) for node in self.list(item.get("nodes") or [], "nodes")]
        by_id = {node.id: node for node in nodes}
        if len(by_id) != len(nodes):
            counts = Counter(node.id for node in nodes)
            twice = next(key for key, count in counts.items() if count > 1)
            raise UserError(f"{self.source} is no workflow: two nodes have the id {shown(twice)}")
        links = [self.link(link) for link in self._links(item.get("links")) if link is not None]
        slots = self.list(item.get("inputs") or [], "inputs")
        return UiGraph(
            name=text_at(item, "name"),
            nodes=by_id,
            links={link.id: link for link in links},
            inputs=tuple(self.input(slot, "a subgraph") for slot in slots),
            outputs={link.target_slot: link for link in links if link.target == OUTPUT_BOUNDARY},
            drawn=item,
        )

    def _links(self, value: Json) -> list[Json]:
        # Some tools write schema 1.0's links as an object by id.
        return list(value.values()) if isinstance(value, dict) else self.list(value or [], "links")

    def node(self, item: Json) -> UiNode:
        node = self.object(item, "a node")
        node_id = self.id(node.get("id"), "a node")
        node_type = node.get("type")
        if not isinstance(node_type, str):
            raise self.wrong(f"node {shown(node_id)}", f"has the type {shown(node_type)}")
        where = f"node {shown(node_id)}"
        mode = node.get("mode", 0)
        return UiNode(
            id=node_id,
            type=node_type,
            title=text_at(node, "title"),
            mode=mode if isinstance(mode, int) else 0,
            inputs=tuple(self.input(slot, where) for slot in self.slots(node, "inputs", where)),
            outputs=tuple(
                _type(self.object(slot, f"an output of {where}"))
                for slot in self.slots(node, "outputs", where)
            ),
            stored=node.get("widgets_values"),
            named=object_at(node, "widgets_values_named"),
            proxies=_proxies(object_at(node, "properties").get("proxyWidgets")),
            drawn=node,
        )

    def slots(self, node: JsonObject, key: str, where: str) -> list[Json]:
        return self.list(node.get(key) or [], f"the {key} of {where}")

    def input(self, item: Json, where: str) -> UiInput:
        slot = self.object(item, f"an input of {where}")
        widget = slot.get("widget")
        named = widget.get("name") if isinstance(widget, dict) else None
        link = slot.get("link")
        return UiInput(
            # A converted field may have been renamed on the canvas; its widget keeps the real name.
            name=named if isinstance(named, str) else text_at(slot, "name"),
            type=_type(slot),
            link=None if link is None else self.id(link, f"a link of {where}"),
            is_widget=isinstance(widget, dict),
            label=text_at(slot, "label"),
        )

    def link(self, item: Json) -> UiLink:
        if isinstance(item, list) and len(item) >= 5:
            link_id, origin, slot, target, target_slot = item[:5]
            kind = item[5] if len(item) > 5 else None
        else:
            link = self.object(item, "a link")
            link_id, origin, slot = link.get("id"), link.get("origin_id"), link.get("origin_slot")
            target, target_slot = link.get("target_id"), link.get("target_slot")
            kind = link.get("type")
        return UiLink(
            self.id(link_id, "a link"),
            self.id(origin, "the origin of a link"),
            self.number(slot, "the origin slot of a link"),
            self.id(target, "the target of a link"),
            self.number(target_slot, "the target slot of a link"),
            kind if isinstance(kind, str) else "*",
        )

    def id(self, value: Json, where: str) -> str:
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return shown(value) if isinstance(value, int) else value
        raise self.wrong(where, f"has the id {shown(value)}, neither a number nor a text")

    def number(self, value: Json, where: str) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)  # some front ends wrote slots as text
        if isinstance(value, int) and not isinstance(value, bool) and value >= -1:
            return value
        raise self.wrong(where, f"is {shown(value)}, not a number")

    def object(self, value: Json, where: str) -> dict[str, Json]:
        return self._of(value, dict, where, "an object")

    def list(self, value: Json, where: str) -> list[Json]:
        return self._of(value, list, where, "a list")

    def _of(self, value: Json, kind: type[_T], where: str, what: str) -> _T:
        if isinstance(value, kind):
            return value
        raise self.wrong(where, f"is {shown(value)}, not {what}")

    def wrong(self, where: str, what: str) -> UserError:
        return UserError(f"{self.source} is no workflow: {where} {what}")


def _type(slot: JsonObject) -> str:
    """litegraph writes 0 for "any type"."""
    kind = slot.get("type")
    return kind if isinstance(kind, str) else "*"


def _proxies(value: Json) -> tuple[tuple[str, str], ...]:
    """`[inner node id, field name]` of the fields a subgraph node shows; "-1" is its own input."""
    if not isinstance(value, list):
        return ()
    pairs = [item[:2] if isinstance(item, list) else [] for item in value]
    return tuple((str(pair[0]), str(pair[1])) if len(pair) == 2 else ("", "") for pair in pairs)
