"""Group nodes, which were there before subgraphs: opened as the front end opens them today.

A node of the type `workflow>NAME` (or `workflow/NAME`) stands for the nodes in the file's
`extra.groupNodes`. Front end 1.49.6 turns each into a subgraph as it loads the file: the nodes
inside get the next free ids, the subgraph the one behind them. Which field and which slot of it is
whose is told by order, as by the front ends that could still make group nodes (1.27.10 was tried).
What 1.49.6 loses as it converts is kept: it takes menus for slots, so that fields behind them get
each other's values, and drops primitives inside, links into fields that were made slots, and modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ...ground.errors import UserError
from ...ground.structured import Json, JsonObject, object_at, objects_in, text_at
from ...ground.wording import shown
from .canvas_nodes import PRIMITIVE
from .registry import InputSpec, NodeSpec
from .ui_format import INPUT_BOUNDARY, OUTPUT_BOUNDARY, UiDocument, UiInput, UiNode, read_graph
from .widgets import field_positions

PREFIXES = ("workflow>", "workflow/")
REROUTE = "Reroute"

SHOWN = ("CLIPTextEncode", "text")
"""A field that the new subgraph shows, so that it is sent as it is."""

SpecOf: TypeAlias = Callable[[str], "NodeSpec | None"]


def opened(document: UiDocument, spec_of: SpecOf, source: str) -> UiDocument:
    """`document` with each group node of its own canvas as a subgraph.

    Raises UserError, naming `source`, for a group whose nodes or links are none.
    """
    groups = object_at(object_at(document.json, "extra"), "groupNodes")
    nodes, definitions = dict(document.canvas.nodes), dict(document.definitions)
    links = dict(document.canvas.links)
    free = _last_id(document) + 1
    for node in document.canvas.nodes.values():
        name = _group_of(node)
        data = groups.get(name) if name is not None else None
        if name is None or data is None:
            continue
        group = _Group(name, data, spec_of, free, source)
        host, definition = group.host(node), group.definition(node)
        free += len(group.items) + 1
        del nodes[node.id]
        nodes[host.id] = host
        definitions[host.type] = read_graph(definition, source)
        for key, link in links.items():
            if link.origin == node.id:
                links[key] = replace(link, origin=host.id)
    return replace(
        document,
        canvas=replace(document.canvas, nodes=nodes, links=links),
        definitions=definitions,
    )


@dataclass(frozen=True)
class _Slot:
    """Input `name` of the inner node number `index`; `outer` is what the group calls it."""

    index: int
    name: str
    outer: str
    spec: InputSpec


@dataclass
class _Names:
    """What the group calls its fields and slots: names that come again get the node's title."""

    seen: dict[str, int] = field(default_factory=dict)

    def of(self, item: JsonObject, name: str, called: str) -> str:
        key, prefix = called, text_at(item, "title") or text_at(item, "type")
        if (text_at(item, "type") == PRIMITIVE and text_at(item, "title")) or called in self.seen:
            key = called = f"{prefix} {name}"
            if called in self.seen:
                called = f"{prefix} {self.seen[key]} {name}"
        self.seen[key] = self.seen.get(key, 1) + 1
        return called


class _Group:
    """The nodes of one group, with the ids that they get from `first` on."""

    def __init__(self, name: str, data: Json, spec_of: SpecOf, first: int, source: str) -> None:
        self.name, self._first, self._source = name, first, source
        if not isinstance(data, dict):
            raise self._wrong(f"is {shown(data)}, not an object")
        self.items = self._objects(data.get("nodes"), "nodes")
        self._specs = [spec_of(text_at(item, "type")) for item in self.items]
        self._links = [self._link(link) for link in self._listed(data.get("links"), "links")]
        self._config = object_at(data, "config")
        self._external = {
            (one[0], one[1])
            for one in self._listed(data.get("external") or [], "external")
            if isinstance(one, list) and all(isinstance(part, int) for part in one[:2])
            if len(one) > 1
        }
        self._targets = {(target, slot) for _, _, target, slot, _ in self._links}
        self._fields: list[_Slot] = []
        self._slots: list[_Slot] = []
        self._sort_inputs()
        self._outputs = list(self._given_out())

    def host(self, node: UiNode) -> UiNode:
        """The subgraph node in the place of the group node."""
        by_name = {slot.name: slot for slot in node.inputs}
        inputs = []
        for index, one in enumerate(self._slots):
            given = by_name.get(one.outer) or (
                node.inputs[index] if index < len(node.inputs) else None
            )
            link = given.link if given is not None else None
            inputs.append(UiInput(one.outer, one.spec.type, link, False))
        proxies = tuple(
            (self._id(index), SHOWN[1])
            for index, item in enumerate(self.items)
            if text_at(item, "type") == SHOWN[0]
        )
        return replace(
            node,
            id=str(self._first + len(self.items)),
            type=f"group {node.id}",
            inputs=tuple(inputs),
            outputs=tuple(kind for _, _, kind in self._outputs),
            stored=None,
            named={},
            proxies=proxies,
        )

    def definition(self, node: UiNode) -> JsonObject:
        """The subgraph, as a file has it, with the values that the group node keeps."""
        nodes: list[dict[str, Json]] = [
            {**item, "id": self._id(index), "inputs": self._inputs_of(item)}
            for index, item in enumerate(self.items)
        ]
        for index, values in self._values(node).items():
            kept = object_at(nodes[index], "widgets_values_named")
            nodes[index]["widgets_values_named"] = {**kept, **values}
            if self._is(index, PRIMITIVE):
                nodes[index]["widgets_values"] = list(values.values())
        links: list[Json] = []

        def link(origin: str, slot: int, target: str, target_slot: int, kind: str) -> int:
            links.append([len(links) + 1, origin, slot, target, target_slot, kind])
            return len(links)

        for origin, slot, target, target_slot, kind in self._links:
            key = link(self._id(origin), slot, self._id(target), target_slot, kind)
            _feed(nodes[target], self._name_of(target, target_slot), kind, key)
        for number, one in enumerate(self._slots):
            key = link(INPUT_BOUNDARY, number, self._id(one.index), 0, one.spec.type)
            _feed(nodes[one.index], one.name, one.spec.type, key)
        for number, (index, slot, kind) in enumerate(self._outputs):
            link(self._id(index), slot, OUTPUT_BOUNDARY, number, kind)
        inputs: list[Json] = [{"name": one.outer, "type": one.spec.type} for one in self._slots]
        outputs: list[Json] = [{"name": kind, "type": kind} for _, _, kind in self._outputs]
        return {
            "id": f"group {node.id}",
            "name": self.name,
            "nodes": list(nodes),
            "links": links,
            "inputs": inputs,
            "outputs": outputs,
        }

    def _sort_inputs(self) -> None:
        """Tell fields from slots, in the group's order: fields that were made slots come last."""
        names, made_slots = _Names(), list[tuple[int, InputSpec]]()
        for index, item in enumerate(self.items):
            declared = self._declared(index)
            converted = {
                text_at(slot, "name") for slot in objects_in(item.get("inputs")) if "widget" in slot
            }
            for one in declared:
                if one.is_widget and one.name not in converted:
                    self._fields.append(self._slot(index, one, names))
            for one in declared:
                if not one.is_widget and not self._is_fed(index, one.name):
                    slot = self._slot(index, one, names)
                    if self._configured(index, "input", one.name).get("visible") is not False:
                        self._slots.append(slot)
            made_slots += [
                (index, one) for one in declared if one.is_widget and one.name in converted
            ]
        for index, one in made_slots:
            if not self._is_fed(index, one.name):
                slot = self._slot(index, one, names)
                self._slots.append(slot)
                self._fields.append(slot)

    def _slot(self, index: int, declared: InputSpec, names: _Names) -> _Slot:
        item = self.items[index]
        label = next(
            (
                text_at(slot, "label")
                for slot in objects_in(item.get("inputs"))
                if text_at(slot, "name") == declared.name
            ),
            "",
        )
        custom = text_at(self._configured(index, "input", declared.name), "name")
        called = names.of(item, declared.name, custom or label or declared.name)
        return _Slot(index, declared.name, called, declared)

    def _declared(self, index: int) -> list[InputSpec]:
        """The inputs of an inner node, in the order of its declaration, or as the file has them."""
        spec, item = self._specs[index], self.items[index]
        if spec is not None:
            inputs = list(spec.inputs.values())
            if any(one.options.get("image_upload") for one in inputs):
                # The button behind a menu of pictures counts as a field.
                inputs.append(InputSpec("upload", "STRING", True, (), {}))
            return inputs
        kind = next((kind for origin, *_, kind in self._links if origin == index), None)
        if self._is(index, PRIMITIVE):
            options = {"default": None, "control_after_generate": True}
            return [] if kind is None else [InputSpec("value", kind, True, (), options)]
        if self._is(index, REROUTE):
            within = kind is not None and (index, 0) in self._targets
            if within and (index, 0) not in self._external:
                return []
            return [InputSpec("", kind or "*", True, (), {"forceInput": True})]
        return [
            InputSpec(
                text_at(slot, "name"), text_at(slot, "type") or "*", True, (), {"forceInput": True}
            )
            for slot in objects_in(item.get("inputs"))
        ]

    def _given_out(self) -> Iterator[tuple[int, int, str]]:
        """The outputs that the group has: inner node, output, type. One that is only used inside
        has no place."""
        used = {(origin, slot) for origin, slot, *_ in self._links}
        for index, (item, spec) in enumerate(zip(self.items, self._specs, strict=True)):
            listed = [text_at(one, "type") or "*" for one in objects_in(item.get("outputs"))]
            for slot, kind in enumerate(spec.outputs if spec is not None else listed):
                hidden = (index, slot) in used and (index, slot) not in self._external
                visible = self._configured(index, "output", str(slot)).get("visible")
                if (not hidden) if visible is None else visible:
                    yield index, slot, kind

    def _values(self, node: UiNode) -> Mapping[int, dict[str, Json]]:
        """The values that the group node keeps, by inner node and field."""
        found: dict[int, dict[str, Json]] = {}
        stored = node.stored if isinstance(node.stored, list) else []
        by_key = {f"{one.index} {one.name}": one for one in self._fields}
        fields = [
            replace(
                one.spec,
                name=key,
                options={**one.spec.options, "control_after_generate": one.spec.has_seed_control},
            )
            for key, one in by_key.items()
        ]
        values = {key: one.spec.default for key, one in by_key.items()}
        for key, place in field_positions(fields, stored).items():
            if key in by_key and place < len(stored) and stored[place] is not None:
                values[key] = stored[place]
        named = node.stored if isinstance(node.stored, dict) else node.named
        values.update({k: named[one.outer] for k, one in by_key.items() if one.outer in named})
        for key, value in values.items():
            if value is not None and by_key[key].name != "upload":
                found.setdefault(by_key[key].index, {})[by_key[key].name] = value
        return found

    def _inputs_of(self, item: JsonObject) -> list[Json]:
        return [{**slot, "link": None} for slot in objects_in(item.get("inputs"))]

    def _is_fed(self, index: int, name: str) -> bool:
        return any(
            target == index and self._name_of(target, slot) == name
            for target, slot in self._targets
        )

    def _name_of(self, index: int, slot: int) -> str:
        """What input number `slot` of an inner node is called."""
        listed = objects_in(self.items[index].get("inputs"))
        if slot < len(listed):
            return text_at(listed[slot], "name")
        spec = self._specs[index]
        sockets = [one.name for one in spec.inputs.values() if not one.is_widget] if spec else []
        return sockets[slot] if slot < len(sockets) else ""

    def _configured(self, index: int, side: str, name: str) -> JsonObject:
        """What the group's owner set for an input or output: its name, and whether it is seen."""
        value = self._config
        for key in (str(index), side, name):
            value = object_at(value, key)
        return value

    def _is(self, index: int, node_type: str) -> bool:
        return text_at(self.items[index], "type") == node_type

    def _id(self, index: int) -> str:
        return str(self._first + index)

    def _link(self, value: Json) -> tuple[int, int, int, int, str]:
        parts = value if isinstance(value, list) else []
        numbers = [one for one in parts[:4] if isinstance(one, int) and one >= 0]
        if len(numbers) < 4 or max(numbers[0], numbers[2]) >= len(self.items):
            raise self._wrong(f"has the link {shown(value)}, which joins no two of its nodes")
        kind = parts[5] if len(parts) > 5 else "*"
        origin, out, target, into = numbers
        return origin, out, target, into, kind if isinstance(kind, str) else "*"

    def _objects(self, value: Json, what: str) -> list[JsonObject]:
        listed = self._listed(value, what)
        found = objects_in(listed)
        if len(found) < len(listed):
            raise self._wrong(f"holds {what} that are no objects")
        return found

    def _listed(self, value: Json, what: str) -> list[Json]:
        if isinstance(value, list):
            return value
        raise self._wrong(f"has the {what} {shown(value)}, not a list")

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self._source} is no workflow: its group node {shown(self.name)} {what}")


def _feed(node: dict[str, Json], name: str, kind: str, link: int) -> None:
    slots = node["inputs"]
    assert isinstance(slots, list)
    for slot in slots:
        if isinstance(slot, dict) and slot.get("name") == name:
            slots[slots.index(slot)] = {**slot, "link": link}
            return
    slots.append({"name": name, "type": kind, "link": link})


def _group_of(node: UiNode) -> str | None:
    return next((node.type[len(p) :] for p in PREFIXES if node.type.startswith(p)), None)


def _last_id(document: UiDocument) -> int:
    graphs = (document.canvas, *document.definitions.values())
    ids = [int(key) for graph in graphs for key in graph.nodes if key.isdigit() and len(key) < 16]
    last = document.json.get("last_node_id")
    return max([*ids, last if isinstance(last, int) else 0])
