"""The drawn form, what ComfyUI's canvas saves: one graph of nodes and links, the workflow's own or
the inside of a subgraph. Links are lists in litegraph's schema 0.4, objects in 1.0 and subgraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..ground.errors import UserError
from ..ground.structured import Json, JsonObject, object_at, objects_in
from .known import FIELDS, ROWS, SHAPES
from .view import ENTRY, EXIT, Change, New, Piece, Port, Use, View


@dataclass
class Ids:
    """The ids that are free in a whole workflow: its graphs share them."""

    node: int
    link: int

    def next_node(self) -> int:
        """A node's."""
        self.node += 1
        return self.node

    def next_link(self) -> int:
        """A link's."""
        self.link += 1
        return self.link


@dataclass
class _Link:
    """A link, written again in the form it was read in."""

    id: Any
    origin: str
    slot: int
    target: str
    target_slot: int
    kind: Json
    saved: Json

    def written(self, number: Mapping[str, Any]) -> Json:
        """`number` gives the ids of nodes as the file has them."""
        origin, target = number.get(self.origin, self.origin), number.get(self.target, self.target)
        if isinstance(self.saved, dict):
            return {
                **self.saved,
                "id": self.id,
                "origin_id": origin,
                "origin_slot": self.slot,
                "target_id": target,
                "target_slot": self.target_slot,
                "type": self.kind,
            }
        return [self.id, origin, self.slot, target, self.target_slot, self.kind]


def is_drawn(document: JsonObject) -> bool:
    """Whether `document` looks like the drawn form."""
    return isinstance(document.get("nodes"), list)


def subgraphs_of(document: JsonObject) -> list[JsonObject]:
    """The definitions of subgraphs, those inside others as well."""
    found: list[JsonObject] = []
    waiting: list[JsonObject] = [document]
    while waiting:
        inner = objects_in(object_at(waiting.pop(), "definitions").get("subgraphs"))
        found += inner
        waiting += inner
    return found


def ids_of(document: JsonObject) -> Ids:
    """The largest ids in use, by the graphs' own count and by what is in them."""
    nodes, links = [0], [0]
    for graph in (document, *subgraphs_of(document)):
        state = object_at(graph, "state")
        nodes += [graph.get("last_node_id"), state.get("lastNodeId")]  # type: ignore[list-item]
        links += [graph.get("last_link_id"), state.get("lastLinkId")]  # type: ignore[list-item]
        nodes += [node.get("id") for node in _nodes(graph)]  # type: ignore[misc]
        links += [link.id for link in _links(graph)]
    return Ids(_most(nodes), _most(links))


def counted(document: JsonObject, ids: Ids) -> JsonObject:
    """`document` whose graphs know the largest ids in use. Changes it in place."""
    for graph in (document, *subgraphs_of(document)):
        if "last_node_id" in graph or "state" not in graph:
            graph["last_node_id"], graph["last_link_id"] = ids.node, ids.link
        state = graph.get("state")
        if isinstance(state, dict):
            graph["state"] = {**state, "lastNodeId": ids.node, "lastLinkId": ids.link}
    return document


def view_of(graph: JsonObject, shown: frozenset[tuple[str, str]] = frozenset()) -> View:
    """A graph's nodes; `shown` are the fields (node, name) that subgraph nodes show as theirs.

    Raises UserError for nodes or links of another form than the canvas writes.
    """
    links = list(_links(graph))
    inputs = {str(node["id"]): _slots(node, "inputs") for node in _nodes(graph)}
    wires: dict[str, dict[str, Port]] = {key: {} for key in inputs}
    exits: dict[str, Port] = {}
    for link in links:
        port = Port(link.origin, link.slot)
        if link.target == EXIT:
            exits[str(link.target_slot)] = port
        elif link.target in inputs and 0 <= link.target_slot < len(inputs[link.target]):
            slot = inputs[link.target][link.target_slot]
            if slot.get("link") == link.id:
                wires[link.target][_name(slot)] = port
    pieces = {
        str(node["id"]): _piece(node, wires[str(node["id"])], shown) for node in _nodes(graph)
    }
    return View(pieces, exits)


def shown_fields(document: JsonObject) -> frozenset[tuple[str, str]]:
    """The fields (inner node, name) that subgraph nodes show, of any graph: `proxyWidgets`."""
    found = set[tuple[str, str]]()
    for graph in (document, *subgraphs_of(document)):
        for node in _nodes(graph):
            properties = node.get("properties")
            listed = properties.get("proxyWidgets") if isinstance(properties, dict) else None
            for pair in listed if isinstance(listed, list) else []:
                if isinstance(pair, list) and len(pair) >= 2:
                    found.add((str(pair[0]), str(pair[1])))
    return frozenset(found)


def apply_change(graph: JsonObject, change: Change, ids: Ids) -> dict[str, str]:
    """Put the change into `graph`, in place; the ids of the new nodes by their keys."""
    made = _Editor(graph, change, ids)
    return made.edit()


class _Editor:
    def __init__(self, graph: JsonObject, change: Change, ids: Ids) -> None:
        self._graph, self._change, self._ids = graph, change, ids
        self._nodes = {str(node["id"]): node for node in _nodes(graph)}
        self._links = {link.id: link for link in _links(graph)}
        self._made = {one.key: ids.next_node() for one in change.new}
        self._by_object = _by_object(graph)

    def edit(self) -> dict[str, str]:
        change = self._change
        for one in change.new:
            self._nodes[str(self._made[one.key])] = self._drawn(one)
        for link in list(self._links.values()):
            self._follow(link)
        for use, port in change.rewired.items():
            self._rewire(use, port)
        for one in change.new:
            self._wire(one)
        kept = [node for key, node in self._nodes.items() if key not in change.removed]
        self._graph["nodes"] = cast(list[Json], kept)
        self._write_links()
        return {key: str(number) for key, number in self._made.items()}

    def _drawn(self, one: New) -> JsonObject:
        shape, near = SHAPES[one.type], self._nodes.get(one.near, {})
        sockets = [name for name in shape.sockets if self._is_drawn(one, name)]
        width, height = shape.size
        if one.type == ROWS:
            height += 90 * max(len(_rows(one)) - 1, 0)
        x, y = _pair(near.get("pos"))
        return {
            "id": self._made[one.key],
            "type": one.type,
            "pos": [x + one.by[0], y + one.by[1]],
            "size": [width, height],
            "flags": {},
            "order": near.get("order", 0),
            "mode": one.mode,
            "inputs": [
                {"name": name, "type": shape.sockets[name], "link": None} for name in sockets
            ],
            "outputs": [
                {"name": name, "type": kind, "links": []} for name, kind in shape.outputs.items()
            ],
            "properties": {"Node name for S&R": one.type},
            "widgets_values": [
                one.fields.get(name, default) for name, default in FIELDS.get(one.type, {}).items()
            ],
        }

    def _is_drawn(self, one: New, name: str) -> bool:
        """Of the rows' sockets, those that are used, and each row's hint."""
        base, _, number = name.rpartition("_")
        if one.type != ROWS or not number.isdigit() or name in one.wires:
            return True
        return base == "hint" and int(number) in _rows(one)

    def _follow(self, link: _Link) -> None:
        """A link of what goes: it goes too, or comes from where its origin moved to."""
        port = Port(link.origin, link.slot)
        if link.target in self._change.removed:
            self._unhook(link)
        elif port in self._change.moved:
            self._move(link, self._change.resolved(port))
        elif link.origin in self._change.removed:
            self._unhook(link)

    def _rewire(self, use: Use, port: Port) -> None:
        number = next(
            number
            for number, slot in enumerate(_slots(self._nodes[use.node], "inputs"))
            if _name(slot) == use.name
        )
        slot = _slots(self._nodes[use.node], "inputs")[number]
        link = self._links.get(slot.get("link"))
        if link is None:
            self._connect(port, use.node, number)
        else:
            self._move(link, self._change.resolved(port))

    def _wire(self, one: New) -> None:
        drawn = self._nodes[str(self._made[one.key])]
        for number, slot in enumerate(_slots(drawn, "inputs")):
            port = one.wires.get(_name(slot))
            if port is not None:
                self._connect(port, str(self._made[one.key]), number)

    def _connect(self, port: Port, target: str, number: int) -> None:
        port = self._change.resolved(port)
        slot = _slots(self._nodes[target], "inputs")[number]
        link = _Link(
            self._ids.next_link(), "", 0, target, number, slot.get("type"),
            {} if self._by_object else [],
        )  # fmt: skip
        self._links[link.id] = link
        slot["link"] = link.id
        self._hang(link, port)

    def _move(self, link: _Link, port: Port) -> None:
        self._unhang(link)
        self._hang(link, port)

    def _hang(self, link: _Link, port: Port) -> None:
        link.origin, link.slot = str(self._made.get(port.node, port.node)), port.slot
        _note(self._output(link), link.id, add=True)

    def _unhang(self, link: _Link) -> None:
        _note(self._output(link), link.id, add=False)

    def _unhook(self, link: _Link) -> None:
        self._unhang(link)
        self._links.pop(link.id)
        target = self._nodes.get(link.target)
        slots = _slots(target, "inputs") if target is not None else []
        if link.target == EXIT:
            _note(_at(_slots(self._graph, "outputs"), link.target_slot), link.id, add=False)
        slot = _at(slots, link.target_slot)
        if slot is not None and slot.get("link") == link.id:
            slot["link"] = None

    def _output(self, link: _Link) -> JsonObject | None:
        """The slot that a link comes from: a node's output, a subgraph's input."""
        if link.origin == ENTRY:
            return _at(_slots(self._graph, "inputs"), link.slot)
        node = self._nodes.get(link.origin)
        return None if node is None else _at(_slots(node, "outputs"), link.slot)

    def _write_links(self) -> None:
        number = {key: node["id"] for key, node in self._nodes.items()}
        number |= {ENTRY: int(ENTRY), EXIT: int(EXIT)}
        written: list[Json] = [link.written(number) for link in self._links.values()]
        if isinstance(self._graph.get("links"), dict):
            self._graph["links"] = {str(link["id"]): link for link in cast(Any, written)}
        else:
            self._graph["links"] = written


def _piece(node: JsonObject, wires: Mapping[str, Port], shown: frozenset[tuple[str, str]]) -> Piece:
    key, kind, mode = str(node["id"]), str(node.get("type")), node.get("mode")
    title = node.get("title")
    return Piece(
        id=key,
        type=kind,
        title=title if isinstance(title, str) else "",
        mode=mode if isinstance(mode, int) else 0,
        fields={k: v for k, v in _fields(kind, node).items() if k not in wires},
        wires=wires,
        shown=frozenset(name for inner, name in shown if inner == key),
    )


def _fields(kind: str, node: JsonObject) -> dict[str, Json]:
    stored, named = node.get("widgets_values"), node.get("widgets_values_named")
    found = dict(FIELDS.get(kind, {}))
    if isinstance(stored, list):
        found |= {k: v for k, v in zip(found, stored, strict=False) if v is not None}
    elif isinstance(stored, dict):
        found |= {k: stored[k] for k in found if stored.get(k) is not None}
    if isinstance(named, dict):
        found |= {k: named[k] for k in found if named.get(k) is not None}
    return found


def _nodes(graph: JsonObject) -> Iterator[JsonObject]:
    listed = graph.get("nodes")
    for node in listed if isinstance(listed, list) else []:
        if not isinstance(node, dict) or isinstance(node.get("id"), (dict, list, bool, type(None))):
            raise UserError("the workflow holds a node without an id; save it again in ComfyUI")
        yield node


def _links(graph: JsonObject) -> Iterator[_Link]:
    listed = graph.get("links")
    every: Any = list(listed.values()) if isinstance(listed, dict) else listed
    for link in every if isinstance(every, list) else []:
        if link is None:
            continue
        try:
            if isinstance(link, dict):
                names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
                number, origin, slot, target, target_slot = (link[name] for name in names)
                kind = link.get("type")
            else:
                number, origin, slot, target, target_slot, kind = (*link, None)[:6]
            if not isinstance(number, (int, str)):
                raise TypeError
            yield _Link(number, str(origin), int(slot), str(target), int(target_slot), kind, link)
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(
                "the workflow holds a link that is none; save it again in ComfyUI"
            ) from error


def _by_object(graph: JsonObject) -> bool:
    """Whether this graph's links are objects: those of subgraphs are, where there are none too."""
    listed = graph.get("links")
    if isinstance(listed, dict):
        return True
    first = next(iter(listed), None) if isinstance(listed, list) else None
    if first is None:
        return "inputNode" in graph or graph.get("version") == 1
    return isinstance(first, dict)


def _slots(node: JsonObject, key: str) -> list[JsonObject]:
    return objects_in(node.get(key))


def _at(slots: list[JsonObject], number: int) -> JsonObject | None:
    return slots[number] if 0 <= number < len(slots) else None


def _name(slot: JsonObject) -> str:
    """A field that became a socket may have been renamed; its widget keeps the real name."""
    widget = slot.get("widget")
    named = widget.get("name") if isinstance(widget, dict) else None
    return str(named if isinstance(named, str) else slot.get("name"))


def _note(slot: JsonObject | None, link: Any, *, add: bool) -> None:
    """A node's output lists its `links`, the edge of a subgraph its `linkIds`."""
    if slot is None:
        return
    key = "linkIds" if "linkIds" in slot else "links"
    listed = slot.get(key)
    kept = [one for one in listed if one != link] if isinstance(listed, list) else []
    slot[key] = [*kept, link] if add else kept


def _rows(one: New) -> list[int]:
    """The ids of the rows of a ControlNet Stack to be made."""
    value = one.fields.get("controls")
    rows = value.get("rows") if isinstance(value, dict) else []
    return [int(row["id"]) for row in cast(Any, rows)]


def _pair(value: Json) -> tuple[float, float]:
    """A position: a list, or in older files an object by number."""
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    numbers = value if isinstance(value, list) else []
    x, y = (*[one if isinstance(one, (int, float)) else 0 for one in numbers], 0, 0)[:2]
    return x, y


def _most(numbers: list[Any]) -> int:
    return max(
        [one for one in numbers if isinstance(one, int) and not isinstance(one, bool)], default=0
    )
