"""Anything Everywhere: links from what a node sends to the open inputs that it fits.

The rules are those of cg-use-everywhere 7.8 with its settings as they come: an open input takes
from what is sent on its own canvas by a live node, of exactly its type, where title, name, group
and colour allow it, the one of the highest priority; of two of the same priority, none. Nodes of
before version 7, whose rules stand in their fields, are read as that version reads them; but the
fields of Seed Everywhere are no rules, which it takes them for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ...ground.structured import Json, JsonObject, object_at, objects_in, text_at
from ..expressions import Expression
from .canvas_nodes import EVERYWHERE
from .model import plain
from .ui_format import (
    BYPASSED,
    INPUT_BOUNDARY,
    OUTPUT_BOUNDARY,
    UiGraph,
    UiInput,
    UiLink,
    UiNode,
)

SEED, PROMPTS = "Seed Everywhere", "Prompts Everywhere"
SENDERS = EVERYWHERE | {SEED}

# The priorities that a node has by itself, and what each of its rules adds.
_PLAIN, _OWN_TYPE, _BY_NAME, _BY_GROUP, _BY_COLOUR = 10, 10, 20, 3, 6

# How tall the title above a node is on the canvas; a group holds the nodes whose middle it holds.
_TITLE_HEIGHT, _FOLDED_WIDTH = 30, 80
_FAR = 1e300

_SAID_TITLES = {OUTPUT_BOUNDARY: "subgraph output node"}


def connect(graph: UiGraph, *, is_root: bool) -> tuple[UiGraph, tuple[str, ...]]:
    """`graph` with the links that its Anything Everywhere nodes make, and a sentence for each input
    that two of them would feed and so none does.
    """
    live = [node for node in graph.nodes.values() if node.mode == 0]
    sent = [one for node in live if _sends(node) for one in _sent(node, graph)]
    if not sent:
        return graph, ()
    graph = _without_saved(graph)
    notes: list[str] = []
    nodes, links, outputs = dict(graph.nodes), dict(graph.links), dict(graph.outputs)

    def take(node: UiNode, slot: UiInput, index: int) -> str | None:
        found = [one for one in sent if one.reaches(node, slot)]
        best = max((one.priority for one in found), default=0)
        found = [one for one in found if one.priority == best]
        if len(found) > 1:
            notes.append(
                f"node {plain(node.id)} ({plain(node.type)}): input {plain(slot.name)} is left "
                f"open: {len(found)} nodes send {plain(slot.type)} everywhere with one priority"
            )
        if len(found) != 1:
            return None
        key = f"everywhere {len(links)}"
        links[key] = UiLink(key, found[0].origin, found[0].slot, node.id, index, found[0].type)
        return key

    for node in graph.nodes.values():
        if node.type in SENDERS or _properties(node).get("rejects_ue_links"):
            continue
        open_to = _connectable(node, is_root=is_root)
        slots = list(node.inputs)
        for index, slot in enumerate(slots):
            is_open = slot.link is None or slot.link not in graph.links
            if is_open and open_to(slot) and (link := take(node, slot, index)):
                slots[index] = replace(slot, link=link)
        nodes[node.id] = replace(node, inputs=tuple(slots))
    for index, slot in enumerate(_given_out(graph)):
        if index not in outputs and (link := take(_boundary(graph), slot, index)):
            outputs[index] = links[link]
    return replace(graph, nodes=nodes, links=links, outputs=outputs), tuple(notes)


@dataclass(frozen=True)
class _Pattern:
    """A regular expression that a text has to hold, or must not."""

    expression: Expression
    inverted: bool

    def allows(self, text: str) -> bool:
        return self.expression.is_in(text) != self.inverted


@dataclass(frozen=True)
class _Sent:
    """Output `slot` of node `origin`, sent to open inputs of `type`, `only` those of some nodes."""

    origin: str
    slot: int
    type: str
    priority: float
    title: _Pattern | None
    name: _Pattern | None
    only: frozenset[str] | None
    also: Callable[[UiNode, UiInput], bool] | None
    to_choices: bool
    to_any: bool

    def reaches(self, node: UiNode, slot: UiInput) -> bool:
        """Whether it may feed `slot` of `node`."""
        fits = (
            self.type == slot.type
            or (self.to_choices and self.type == "STRING" and slot.type == "COMBO")
            or (self.to_any and slot.type == "*")
        )
        return (
            fits
            and self.origin != node.id
            and (self.only is None or node.id in self.only)
            and (self.title is None or self.title.allows(node.title or node.type))
            and (self.name is None or self.name.allows(_called(slot)))
            and (self.also is None or self.also(node, slot))
        )


def _sends(node: UiNode) -> bool:
    return node.type in SENDERS or bool(_properties(node).get("ue_convert"))


def _sent(node: UiNode, graph: UiGraph) -> Iterator[_Sent]:
    """What `node` sends: what feeds its inputs, or its outputs where it is no node of the pack."""
    rules = _rules(node)
    slots = [one for one in _possible(node, graph, rules) if _is_live(graph, one[1])]
    kinds = [kind for _, _, _, kind in slots]
    twice = {kind for kind in kinds if kinds.count(kind) > 1}
    patterns = {name: _pattern(rules, name) for name in ("title", "input", "group")}
    group, colour = rules.get("group_restricted") or 0, rules.get("color_restricted") or 0
    by_name = twice or any(rules.get(f"{name}_regex") not in (None, "", ".*") for name in patterns)
    own = _PLAIN + (_OWN_TYPE if node.type == PROMPTS else 0) + (_BY_NAME if by_name else 0)
    own += (_BY_GROUP if group else 0) + (_BY_COLOUR if colour else 0)
    priority = rules.get("priority")
    only = _only(node, graph, group, colour, patterns["group"])
    for slot, origin, number, kind in slots:
        narrowed = kind in twice or bool(rules.get("apply_to_unrepeated"))
        yield _Sent(
            origin=origin,
            slot=number,
            type=kind,
            priority=priority if isinstance(priority, (int, float)) and priority else own,
            title=patterns["title"],
            name=patterns["input"],
            only=only,
            also=_same_name(rules.get("repeated_type_rule"), _called(slot)) if narrowed else None,
            to_choices=_is_on(rules.get("string_to_combo")),
            to_any=_is_on(rules.get("send_to_any")),
        )


def _possible(
    node: UiNode, graph: UiGraph, rules: Mapping[str, Json]
) -> Iterator[tuple[UiInput, str, int, str]]:
    """Each slot of `node` that sends: the slot, and the node, output and type that are sent."""
    if node.type == SEED or rules.get("seed_inputs"):
        yield UiInput("seed", "INT", None, False), node.id, 0, "INT"
    elif node.type in SENDERS:
        labels = ("positive", "negative") if node.type == PROMPTS else ()
        for index, slot in enumerate(node.inputs):
            link = graph.links.get(slot.link) if slot.link is not None else None
            if link is not None:
                link = _past_bypassed(graph, link) or link
                named = replace(slot, label=labels[index]) if index < len(labels) else slot
                yield named, link.origin, link.slot, link.type
    else:
        kept = object_at(rules, "output_not_broadcasting")
        drawn = [*objects_in(node.drawn.get("outputs")), *({} for _ in node.outputs)]
        for index, kind in enumerate(node.outputs):  # a group node that was opened may have more
            name, label = (text_at(drawn[index], key) for key in ("name", "label"))
            if not kept.get(name):
                yield UiInput(name, kind, None, False, label), node.id, index, kind


def _past_bypassed(graph: UiGraph, link: UiLink) -> UiLink | None:
    """The link that feeds `link` through bypassed nodes: the input of the output's number, or else
    the first of its type.
    """
    kind, seen = link.type, set[str]()
    while link.origin != INPUT_BOUNDARY and link.id not in seen:
        seen.add(link.id)
        node = graph.nodes.get(link.origin)
        if node is None:
            return None
        if node.mode != BYPASSED:
            return link
        same = [slot for slot in node.inputs[link.slot : link.slot + 1] if slot.type == kind]
        slots = same or [slot for slot in node.inputs if slot.type == kind]
        before = graph.links.get(slots[0].link) if slots and slots[0].link is not None else None
        if before is None:
            return None
        link = before
    return link


def _is_live(graph: UiGraph, node_id: str) -> bool:
    node = graph.nodes.get(node_id)
    return node_id == INPUT_BOUNDARY or (node is not None and node.mode == 0)


def _rules(node: UiNode) -> Mapping[str, Json]:
    """What `node` is restricted to, under the names that version 7 uses."""
    properties = _properties(node)
    rules = object_at(properties, "ue_properties")
    version = rules.get("version")
    if node.type in SENDERS and not (isinstance(version, str) and "." in version):
        stored = node.stored if isinstance(node.stored, list) and node.type not in (SEED,) else []
        fields = zip(("title_regex", "input_regex", "group_regex"), stored, strict=False)
        kept = ("group_restricted", "color_restricted")
        rules = dict(fields) | {name: properties.get(name) for name in kept}
    if node.type == SEED and not rules.get("input_regex"):
        rules = {**rules, "input_regex": "seed"}
    return rules


def _pattern(rules: Mapping[str, Json], name: str) -> _Pattern | None:
    text = rules.get(f"{name}_regex")
    if not isinstance(text, str) or text in ("", ".*"):
        return None
    expression = _compiled(text)
    if expression is None:
        return None  # as the pack does
    return _Pattern(expression, bool(rules.get(f"{name}_regex_invert")))


def _compiled(text: str) -> Expression | None:
    """An expression as JavaScript writes it; None where it is none, counts too high or is nested
    too deep."""
    try:
        return Expression(text)
    except ValueError:
        return None


def _same_name(rule: Json, sent: str) -> Callable[[UiNode, UiInput], bool]:
    """Which inputs something takes that is sent under a name, since two of its type are sent."""

    def length(slot: UiInput) -> int:
        return min(len(sent), len(_called(slot)))

    def matches(slot: UiInput) -> bool:
        expression = _compiled(sent)
        return expression is not None and expression.is_in(_called(slot))

    # By the number that the pack keeps.
    rules: dict[Json, Callable[[UiNode, UiInput], bool]] = {
        1: lambda _, slot: _called(slot)[: length(slot)] == sent[: length(slot)],
        2: lambda _, slot: _end(_called(slot), length(slot)) == _end(sent, length(slot)),
        3: lambda node, _: (node.title or node.type) == sent,
        4: lambda _, slot: matches(slot),
    }
    if isinstance(rule, int) and rule in rules:
        return rules[rule]
    return lambda _, slot: _called(slot) == sent


def _end(text: str, length: int) -> str:
    return text[len(text) - length :]


def _only(
    node: UiNode, graph: UiGraph, group: Json, colour: Json, titled: _Pattern | None
) -> frozenset[str] | None:
    """The nodes that `node` may send to; None for all. 1 is "the same", 2 "another"."""
    every = frozenset(graph.nodes)
    only: frozenset[str] | None = None
    groups = [
        (text_at(one, "title"), _inside(graph, one))
        for one in objects_in(graph.drawn.get("groups"))
    ]
    if group:
        mine = frozenset().union(*(inside for _, inside in groups if node.id in inside))
        only = mine if group == 1 else every - mine
    if colour:
        same = {key for key in every if _colour(graph.nodes[key]) == _colour(node)}
        only = (every if only is None else only) & (same if colour == 1 else every - same)
    if titled is not None:
        inside = frozenset().union(*(inside for title, inside in groups if titled.allows(title)))
        only = inside if only is None else only & inside
    return only


def _inside(graph: UiGraph, group: JsonObject) -> frozenset[str]:
    left, top, width, height = _numbers(group.get("bounding"), 4)
    found = set[str]()
    for node in graph.nodes.values():
        x, y = _numbers(node.drawn.get("pos"), 2)
        wide, tall = _numbers(node.drawn.get("size"), 2)
        if object_at(node.drawn, "flags").get("collapsed"):
            wide, tall = min(wide, _FOLDED_WIDTH), 0.0
        x, y = x + wide / 2, y - _TITLE_HEIGHT + (tall + _TITLE_HEIGHT) / 2
        if left <= x < left + width and top <= y < top + height:
            found.add(node.id)
    return frozenset(found)


def _connectable(node: UiNode, *, is_root: bool) -> Callable[[UiInput], bool]:
    """Which inputs of `node` may be fed: those without a field but for some, and some fields."""
    properties = _properties(node)
    rules = object_at(properties, "ue_properties")
    fields = rules.get("widget_ue_connectable") or properties.get("widget_ue_connectable")
    closed = rules.get("input_ue_unconnectable")
    if "widget_ue_connectable" not in {**rules, **properties}:
        # From before the front end drew a slot for each field: one that has a slot was made one.
        slots = objects_in(node.drawn.get("inputs")) if is_root else []
        fields = {text_at(slot, "name"): True for slot in slots}

    def may_be_fed(slot: UiInput) -> bool:
        if slot.is_widget:
            return isinstance(fields, dict) and bool(fields.get(slot.name))
        return not (isinstance(closed, dict) and closed.get(slot.name))

    return may_be_fed


def _without_saved(graph: UiGraph) -> UiGraph:
    """`graph` without the links that the pack had made when the file was written."""
    saved = object_at(graph.drawn, "extra").get("links_added_by_ue")
    made = {str(one) for one in saved} if isinstance(saved, list) else set()
    kept = {key: link for key, link in graph.links.items() if key not in made}
    nodes = {
        key: replace(
            node,
            inputs=tuple(
                replace(slot, link=None) if slot.link in made else slot for slot in node.inputs
            ),
        )
        for key, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes, links=kept) if made else graph


def _boundary(graph: UiGraph) -> UiNode:
    """The subgraph's own outputs, as a node that takes them."""
    title = _SAID_TITLES[OUTPUT_BOUNDARY]
    return UiNode(OUTPUT_BOUNDARY, title, title, 0, _given_out(graph), (), None, {}, ())


def _given_out(graph: UiGraph) -> tuple[UiInput, ...]:
    return tuple(
        UiInput(text_at(one, "name"), text_at(one, "type"), None, False, text_at(one, "label"))
        for one in objects_in(graph.drawn.get("outputs"))
    )


def _called(slot: UiInput) -> str:
    return slot.label or slot.name


def _colour(node: UiNode) -> Json:
    return node.drawn.get("color")


def _properties(node: UiNode) -> JsonObject:
    return object_at(node.drawn, "properties")


def _is_on(value: Json) -> bool:
    return isinstance(value, (int, float)) and value > 0


def _numbers(value: Json, count: int) -> list[float]:
    """Places and sizes: a list, or in some files an object by index. What is none is 0, and so is
    what no canvas reaches."""
    found = list(value.values()) if isinstance(value, dict) else value
    found = found if isinstance(found, list) else []
    numbers = [
        float(one) if isinstance(one, (int, float)) and abs(one) < _FAR else 0.0
        for one in found[:count]
    ]
    return [*numbers, *([0.0] * (count - len(numbers)))]
