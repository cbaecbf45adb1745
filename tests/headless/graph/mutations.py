"""Workflows changed as other programs, older versions and bad intentions change them: nodes, links,
values, modes and subgraphs, in both formats. A seed gives always the same change.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Document = dict[str, Any]

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7.5, -0.0, 1e-320, 1e308, 2**63, 2**64, 10**30, 10**400),
    *("", " ", "512", "1e999", "nan", "-inf", "true", "x" * 3000, "\u2603", "\U0001f600"),
    *("a\nb", "\x1b[2J", "\x9b31m", "\u202egnp", "\u2028", "\0", "[bold]", "%s", "{0}"),
    *("../x", "/etc/passwd", "C:\\x", "a/b", "a\\b", "CON", ".", "%KSampler.seed%", "%date:yyyy%"),
    *("(a:nan)", "(a:1e999)", "((a))", "(" * 150, "embedding:x", "fixed", "randomize"),
    *([], {}, [1, 2], ["3", 0], ["1", 99], {"__value__": []}, {"__value__": ["1", 0]}, [[]]),
)
TYPES = ("Reroute", "PrimitiveNode", "Note", "MarkdownNote", "Unknown", "workflow>x", "", "\x1b[1m")
IDS: tuple[Any, ...] = (
    0,
    -1,
    -10,
    -20,
    1,
    3,
    99,
    10**25,
    "1",
    "x",
    "\x1b[2J",
    "3:1",
    None,
    1.5,
    [],
)


def mutated(
    document: Document, rng: random.Random, types: Sequence[str], changes: int = 3
) -> Document:
    """A copy of a workflow in either format with so many changes; `types` are those of nodes."""
    changed: Document = json.loads(json.dumps(document))  # faster than a deep copy
    for _ in range(changes):
        if "nodes" in changed:
            rng.choice(CANVAS)(changed, rng, types)
        elif changed:
            rng.choice(API)(changed, rng, types)
    return changed


def _type(rng: random.Random, types: Sequence[str]) -> str:
    return rng.choice(TYPES if rng.random() < 0.5 else types)


def _nodes(canvas: Document, rng: random.Random) -> list[Any]:
    """The nodes of the canvas, or now and then of a subgraph in it."""
    definitions = canvas.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    inner = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    chosen = rng.choice([canvas, *inner])
    nodes = chosen.get("nodes")
    return nodes if isinstance(nodes, list) else []


def _node(canvas: Document, rng: random.Random) -> Any:
    nodes = [node for node in _nodes(canvas, rng) if isinstance(node, dict)]
    return rng.choice(nodes) if nodes else {}


def drop_node(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    nodes = _nodes(canvas, rng)
    if nodes:
        nodes.pop(rng.randrange(len(nodes)))


def double_node(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    nodes = _nodes(canvas, rng)
    if nodes:
        twin = copy.deepcopy(rng.choice(nodes))
        if isinstance(twin, dict) and rng.random() < 0.8:
            twin["id"] = rng.choice([rng.randrange(1000, 2000), *IDS])
        nodes.insert(rng.randrange(len(nodes) + 1), twin)


def retype_node(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    _node(canvas, rng)["type"] = rng.choice([_type(rng, types), rng.choice(VALUES)])


def set_mode(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    _node(canvas, rng)["mode"] = rng.choice([0, 1, 2, 2, 3, 4, 4, 99, "4", None])


def mute_all(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    mode = rng.choice([2, 4])
    for node in _nodes(canvas, rng):
        if isinstance(node, dict):
            node["mode"] = mode


def rename(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    _node(canvas, rng)["title"] = rng.choice(VALUES)


def change_widget(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    node = _node(canvas, rng)
    stored = node.get("widgets_values")
    if isinstance(stored, list) and stored and rng.random() < 0.9:
        place = rng.randrange(len(stored))
        rng.choice([lambda v: stored.__setitem__(place, v), lambda v: stored.insert(place, v)])(
            rng.choice(VALUES)
        )
    else:
        named = {rng.choice(["text", "seed", "width", "\x1b"]): rng.choice(VALUES)}
        node[rng.choice(["widgets_values", "widgets_values_named"])] = rng.choice([named, None, 7])


def change_link(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    links = canvas.get("links")
    if not isinstance(links, list) or not links:
        canvas["links"] = rng.choice([[], {}, None, [[1, 2]], "x"])
        return
    place = rng.randrange(len(links))
    link = links[place]
    if isinstance(link, list) and link and rng.random() < 0.9:
        link[rng.randrange(len(link))] = rng.choice(IDS)
    else:
        links[place] = rng.choice([None, copy.deepcopy(rng.choice(links)), rng.choice(VALUES)])


def close_circle(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    links = [link for link in canvas.get("links") or () if isinstance(link, list) and len(link) > 4]
    if links:
        one, other = rng.choice(links), rng.choice(links)
        one[1] = other[3]


def change_slot(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    slots = _node(canvas, rng).get(rng.choice(["inputs", "outputs"]))
    if isinstance(slots, list) and slots:
        slot = slots[rng.randrange(len(slots))]
        if isinstance(slot, dict):
            slot[rng.choice(["name", "type", "link", "widget"])] = rng.choice([*VALUES, *IDS])


def wrap(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    """Make a node the inside of a subgraph, which now and then holds itself, too."""
    node = _node(canvas, rng)
    key = rng.choice(["sub", "sub2", "\x1b[1m"])
    inside = [copy.deepcopy(node)]
    if rng.random() < 0.3:
        inside.append({"id": 77, "type": rng.choice(["sub", "sub2"]), "inputs": [], "outputs": []})
    given = node.get("inputs")
    slots = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    inner = {
        "id": key,
        "name": rng.choice(["A part", "\x1b[2J"]),
        "nodes": inside,
        "inputs": [{"name": slot.get("name"), "type": slot.get("type")} for slot in slots],
        "outputs": [{"name": "x", "type": "*"}],
        "links": [
            {"id": 1, "origin_id": node.get("id"), "origin_slot": 0, "target_id": -20,
             "target_slot": 0},
            *(
                {"id": slot.get("link"), "origin_id": -10, "origin_slot": place,
                 "target_id": node.get("id"), "target_slot": place}
                for place, slot in enumerate(slots)
            ),
        ],
    }  # fmt: skip
    definitions = canvas.setdefault("definitions", {})
    if isinstance(definitions, dict):
        graphs = definitions.setdefault("subgraphs", [])
        if isinstance(graphs, list):
            graphs.append(inner)
    node["type"] = key
    node["widgets_values"] = rng.choice([[], [1, "x"], None])


def add_furniture(canvas: Document, rng: random.Random, types: Sequence[str]) -> None:
    canvas[rng.choice(["groups", "extra", "version", "config", "definitions"])] = rng.choice(VALUES)


def drop_output(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    del prompt[rng.choice(list(prompt))]


def retype(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    _entry(prompt, rng)["class_type"] = rng.choice([_type(rng, types), rng.choice(VALUES)])


def change_input(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    inputs = _entry(prompt, rng).get("inputs")
    if isinstance(inputs, dict) and inputs:
        inputs[rng.choice(list(inputs))] = rng.choice(VALUES)


def drop_input(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    inputs = _entry(prompt, rng).get("inputs")
    if isinstance(inputs, dict) and inputs:
        del inputs[rng.choice(list(inputs))]


def relink(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    inputs = _entry(prompt, rng).get("inputs")
    if isinstance(inputs, dict) and inputs:
        target = rng.choice([*prompt, "99", "\x1b[2J", 7])
        inputs[rng.choice(list(inputs))] = [target, rng.choice([0, 0, 1, 2, 9, -1, 1.0, 10**30])]


def change_entry(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    entry = _entry(prompt, rng)
    entry[rng.choice(["_meta", "inputs", "is_changed"])] = rng.choice(
        [{"title": rng.choice(VALUES)}, rng.choice(VALUES)]
    )


def double_entry(prompt: Document, rng: random.Random, types: Sequence[str]) -> None:
    twin = copy.deepcopy(_entry(prompt, rng))
    prompt[rng.choice(["500", "\x1b[2J", "a b", "12:3", ""])] = twin


def _entry(prompt: Document, rng: random.Random) -> Any:
    entries = [entry for entry in prompt.values() if isinstance(entry, dict)]
    return rng.choice(entries) if entries else {}


Mutation = Callable[[Document, random.Random, Sequence[str]], None]
CANVAS: tuple[Mutation, ...] = (
    *(drop_node, double_node, retype_node, set_mode, set_mode, mute_all, rename),
    *(change_widget, change_widget, change_widget, change_link, change_link, close_circle),
    *(change_slot, wrap, wrap, add_furniture),
)
API: tuple[Mutation, ...] = (
    *(drop_output, retype, change_input, change_input, change_input, change_input),
    *(drop_input, relink, relink, change_entry, double_entry),
)
