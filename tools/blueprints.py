"""Writes `subgraphs/*.json`: what ComfyUI lists under Blueprints, to be put into any workflow.

A blueprint is a workflow of one node, whose inside is a subgraph (ComfyUI's
`app/subgraph_manager.py` serves those of packs; the front end names them as their files are).
Ids are made of names, so that writing them again changes nothing: python -m tools.blueprints
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from controlstack.headless.graph.registry import InputSpec, default_registry
from tools.workflow_layout import FIRST, arranged, compact

FOLDER = Path(__file__).parents[1] / "subgraphs"
SPACE = UUID("5b2f0a52-6f4b-4f7e-9d0c-7f1a4f3f6d11")
"""Of the ids that are made of names."""
INSIDE, OUTSIDE = -10, -20
"""The ids by which links name a subgraph's own inputs and outputs."""
ROOM = 160

POSE = "control_v11p_sd15_openpose_fp16.safetensors"
DEPTH = "control_v11f1p_sd15_depth_fp16.safetensors"
CANNY = "control_v11p_sd15_canny_fp16.safetensors"


@dataclass(frozen=True)
class Inner:
    """A node inside: its type, the wires to it ("node.output" or a name of the blueprint's own
    inputs), its values that are not the defaults, and what of it is shown outside, by its name
    there. All wires and fields go by the names of inputs.
    """

    type: str
    wires: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blueprint:
    """A subgraph: its title (and the file's name), its sockets, its nodes and its outputs."""

    title: str
    description: str
    sockets: Mapping[str, str]
    nodes: Mapping[str, Inner]
    outputs: Mapping[str, tuple[str, str]]


def _line(name: str, file: str, before: str | None, hint: str) -> dict[str, Inner]:
    """A loader and an Add ControlNet, whose file, strength and range are shown outside."""
    stack = {"stack": f"{before}.stack"} if before else {}
    label = f"{name} " if name else ""
    return {
        f"{name} loader": Inner(
            "ControlStackLoader",
            values={"control_net_name": file},
            shown={"control_net_name": f"{label}ControlNet"},
        ),
        f"{name} control": Inner(
            "ControlStackAdd",
            wires={**stack, "control_net": f"{name} loader.control_net", "image": hint},
            shown={
                "strength": f"{label}strength",
                "start_percent": f"{label}start",
                "end_percent": f"{label}end",
            },
        ),
    }


def _apply(last: str) -> dict[str, Inner]:
    return {"apply": Inner("ControlStackApply", {"model": "model", "stack": f"{last}.stack"})}


BLUEPRINTS = (
    Blueprint(
        "ControlNet Stack (pose and depth)",
        "A pose and a depth map steer one picture together, each with its own strength and range.",
        {"model": "MODEL", "pose hint": "IMAGE", "depth hint": "IMAGE"},
        {
            **_line("pose", POSE, None, "pose hint"),
            **_line("depth", DEPTH, "pose control", "depth hint"),
            **_apply("depth control"),
        },
        {"model": ("apply", "model")},
    ),
    Blueprint(
        "ControlNet Stack (three controls)",
        "Three ControlNets steer one picture together, each with its own hint, strength and range.",
        {"model": "MODEL", "first hint": "IMAGE", "second hint": "IMAGE", "third hint": "IMAGE"},
        {
            **_line("first", POSE, None, "first hint"),
            **_line("second", DEPTH, "first control", "second hint"),
            **_line("third", CANNY, "second control", "third hint"),
            **_apply("third control"),
        },
        {"model": ("apply", "model")},
    ),
    Blueprint(
        "ControlNet Stack (hint and control in one)",
        "Makes the hint of a picture and lets a ControlNet follow it. The hint has the size of the "
        "latent, if one is wired.",
        {"model": "MODEL", "picture": "IMAGE", "latent": "LATENT"},
        {
            "hint": Inner(
                "ControlStackHint",
                {"image": "picture", "latent": "latent"},
                {"preprocessor": "canny"},
                {"preprocessor": "preprocessor", "download": "download"},
            ),
            **_line("", CANNY, None, "hint.hint"),
            **_apply(" control"),
        },
        {"model": ("apply", "model"), "hint": ("hint", "hint")},
    ),
)


def document(blueprint: Blueprint) -> dict[str, Any]:
    """The file of `blueprint`."""
    key = str(uuid5(SPACE, blueprint.title))
    inner = _subgraph(blueprint, key)
    shown = [(name, spec, value) for name, spec, value in _fields(blueprint)]
    sockets = [{"name": n, "type": t, "link": None} for n, t in blueprint.sockets.items()]
    widgets = [
        {"name": name, "type": spec.type, "widget": {"name": name}, "link": None}
        for name, spec, _ in shown
    ]
    outer = {
        **{"id": 1, "type": key, "pos": [100, 130], "size": [360, 120 + 30 * len(shown)]},
        **{"flags": {}, "order": 0, "mode": 0, "inputs": [*sockets, *widgets]},
        "outputs": [
            {"name": one["name"], "type": one["type"], "links": []} for one in inner["outputs"]
        ],
        "title": blueprint.title,
        "properties": {"proxyWidgets": [["-1", name] for name, *_ in shown]},
        "widgets_values": [value for *_, value in shown],
    }
    return {
        **{"id": str(uuid5(SPACE, key)), "revision": 0, "last_node_id": 1, "last_link_id": 0},
        **{"nodes": [outer], "links": [], "groups": [], "definitions": {"subgraphs": [inner]}},
        **{"config": {}, "extra": {}, "version": 0.4},
    }


def _fields(blueprint: Blueprint) -> list[tuple[str, InputSpec, Any]]:
    """What is shown outside: its name there, what it is, and its value."""
    registry = default_registry()
    return [
        (
            name,
            spec.inputs[field_name],
            node.values.get(field_name, spec.inputs[field_name].default),
        )
        for node in blueprint.nodes.values()
        for spec in [registry.spec(node.type)]
        for field_name, name in node.shown.items()
    ]


def _subgraph(blueprint: Blueprint, key: str) -> dict[str, Any]:
    # The front end gives another id to a node inside that has the outer one's, which is 1.
    numbers = {name: number for number, name in enumerate(blueprint.nodes, start=2)}
    nodes = {name: _node(numbers[name], node) for name, node in blueprint.nodes.items()}
    names = [*blueprint.sockets, *(name for name, *_ in _fields(blueprint))]
    types = {**blueprint.sockets, **{name: spec.type for name, spec, _ in _fields(blueprint)}}
    links: list[dict[str, Any]] = []
    taken: dict[str, list[int]] = {name: [] for name in names}

    def link(origin: int, slot: int, target: int, place: int, kind: str) -> int:
        number = len(links) + 1
        links.append(
            {
                **{"id": number, "origin_id": origin, "origin_slot": slot},
                **{"target_id": target, "target_slot": place, "type": kind},
            }
        )
        return number

    for name, node in blueprint.nodes.items():
        wires = {**node.wires, **node.shown}
        for place, socket in enumerate(nodes[name]["inputs"]):
            source = wires.get(socket["name"])
            if source is None:
                continue
            origin, _, output = source.rpartition(".")
            if source in taken:
                number = link(INSIDE, names.index(source), numbers[name], place, types[source])
                taken[source].append(number)
            else:
                slots = nodes[origin]["outputs"]
                slot = next(i for i, one in enumerate(slots) if one["name"] == output)
                number = link(numbers[origin], slot, numbers[name], place, slots[slot]["type"])
                slots[slot]["links"].append(number)
            socket["link"] = number
    outputs = []
    for place, (name, (origin, output)) in enumerate(blueprint.outputs.items()):
        slots = nodes[origin]["outputs"]
        slot = next(i for i, one in enumerate(slots) if one["name"] == output)
        number = link(numbers[origin], slot, OUTSIDE, place, slots[slot]["type"])
        slots[slot]["links"].append(number)
        outputs.append(_socket(key, "output", name, slots[slot]["type"], [number]))
    _place(list(nodes.values()), links)
    left = min(node["pos"][0] for node in nodes.values()) - ROOM
    right = max(node["pos"][0] + node["size"][0] for node in nodes.values()) + ROOM
    return {
        **{"id": key, "version": 1, "revision": 0, "name": blueprint.title},
        "state": {
            **{"lastGroupId": 0, "lastNodeId": len(nodes) + 1, "lastLinkId": len(links)},
            "lastRerouteId": 0,
        },
        "config": {},
        "inputNode": {"id": INSIDE, "bounding": [left - 160, 110, 160, 40 + 20 * len(names)]},
        "outputNode": {"id": OUTSIDE, "bounding": [right, 110, 120, 40 + 20 * len(outputs)]},
        "inputs": [_socket(key, "input", name, types[name], taken[name]) for name in names],
        "outputs": outputs,
        **{"widgets": [], "nodes": list(nodes.values()), "groups": [], "links": links},
        **{"extra": {}, "category": "ControlStack", "description": blueprint.description},
    }


def _socket(key: str, side: str, name: str, kind: str, links: Sequence[int]) -> dict[str, Any]:
    number = str(uuid5(UUID(key), f"{side} {name}"))
    return {"id": number, "name": name, "type": kind, "linkIds": list(links)}


def _node(number: int, node: Inner) -> dict[str, Any]:
    """As the front end saves it: the sockets, then the fields that wires may feed."""
    spec = default_registry().spec(node.type)
    sockets = [one for one in spec.inputs.values() if not one.is_widget]
    sockets.sort(key=lambda one: one.name != FIRST.get(node.type))
    inputs: list[dict[str, Any]] = [{"name": o.name, "type": o.type, "link": None} for o in sockets]
    inputs += [
        {"name": name, "type": spec.inputs[name].type, "widget": {"name": name}, "link": None}
        for name in node.shown
    ]
    named = zip(spec.output_names, spec.outputs, strict=True)
    return {
        **{"id": number, "type": node.type, "pos": [0, 0]},
        "size": [320, 60 + 20 * len(sockets) + 30 * len(spec.widgets)],
        **{"flags": {}, "order": number - 1, "mode": 0, "inputs": inputs},
        "outputs": [{"name": name, "type": kind, "links": []} for name, kind in named],
        "properties": {"Node name for S&R": node.type, "cnr_id": "controlstack"},
        "widgets_values": [node.values.get(one.name, one.default) for one in spec.widgets],
    }


def _place(nodes: Sequence[dict[str, Any]], links: Sequence[Mapping[str, Any]]) -> None:
    """Left to right; the nodes are changed."""
    order = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    between = [
        [link[name] for name in order]
        for link in links
        if link["origin_id"] != INSIDE and link["target_id"] != OUTSIDE
    ]
    arranged({"nodes": list(nodes), "links": between, "extra": {}})


def path_of(blueprint: Blueprint) -> Path:
    """Its file."""
    return FOLDER / f"{blueprint.title}.json"


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for blueprint in BLUEPRINTS:
        path_of(blueprint).write_text(compact(document(blueprint)), encoding="utf-8")
        print(path_of(blueprint))


if __name__ == "__main__":
    main()
