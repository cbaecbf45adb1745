"""A stranger's workflow made to fit the demo models, so that its flow is seen.

What they cannot hold is led through or stood in for, with a note each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..ground.errors import UserError
from ..ground.structured import Json, JsonObject
from ..ground.wording import shown
from ..headless import folders
from ..headless.graph.model import Graph, Link, Node, Value
from ..headless.graph.named_files import net_file
from ..headless.graph.needed import is_output
from ..headless.graph.registry import NodeSpec, Registry
from ..headless.graph.ui_format import BYPASSED
from ..hosts import host
from ..preprocessors import model_choice
from ..preprocessors.registry import PREPROCESSORS
from ..preprocessors.spec import Preprocessor

LED_THROUGH: Mapping[str, tuple[tuple[str, ...], str]] = {
    "LoraLoader": (("model", "clip"), "the demo has no LoRA"),
    "LoraLoaderModelOnly": (("model",), "the demo has no LoRA"),
}
"""Node type -> the input that each of its outputs is replaced with, and why."""

STANDING = {"edges": "canny", "pose": "pose_body"}
"""What a hint shows -> the preprocessor without a download that stands in for a learned one."""


def fitted(graph: Graph, registry: Registry) -> Graph:
    """`graph` without LoRAs, union types, and upscale models and hint networks that are not here.

    A hint of edges or poses is made by a preprocessor that needs no download, any other one is the
    picture itself; its notes say which nodes it was. The graph has no canvas where that cannot say
    what runs.
    """
    before = graph
    for node in list(graph.nodes.values()):
        spec = registry.get(node.type)
        node = graph.nodes[node.id]
        if node.type in LED_THROUGH:
            names, why = LED_THROUGH[node.type]
            graph = _led_through(graph, node, names, why)
        elif node.type == "ImageUpscaleWithModel" and (lost := _upscaler(graph, node)):
            graph = _led_through(graph, node, ("image",), f"there is no upscale model {lost}")
        elif spec is not None and (entry := _without_network(node, spec)) is not None:
            graph = _with_another_hint(graph, registry, node, spec, entry)
        elif node.type in _OF_NETS:
            graph = _OF_NETS[node.type](graph, registry, node)
    return _without_idle(graph, before, registry)


def _led_through(graph: Graph, node: Node, names: Sequence[str], why: str) -> Graph:
    """`graph` with `node` bypassed: its outputs are what its inputs `names` are given."""
    if not set(names) <= node.links.keys():
        return graph  # the check says what is missing
    moved: dict[Link, Value] = {
        Link(node.id, slot): node.inputs[name] for slot, name in enumerate(names)
    }
    nodes = {key: one.rewired(moved) for key, one in graph.nodes.items() if key != node.id}
    note = f"{node.label} is bypassed: {why}"
    canvas = _bypassed(graph.workflow, node)
    return replace(graph, nodes=nodes, workflow=canvas, notes=(*graph.notes, note))


def _bypassed(workflow: JsonObject | None, node: Node) -> JsonObject | None:
    """The canvas with `node` bypassed; None where it stands inside a subgraph."""
    drawn = workflow.get("nodes") if workflow is not None else None
    if workflow is None or not isinstance(drawn, list):
        return None
    found = [one for one in drawn if isinstance(one, dict) and str(one.get("id")) == node.id]
    if not found:
        return None
    changed = [{**one, "mode": BYPASSED} if one in found else one for one in drawn]
    return {**workflow, "nodes": changed}


def _upscaler(graph: Graph, node: Node) -> str:
    """The upscale model of a node, where it is not here; else ""."""
    link = node.inputs.get("upscale_model")
    loader = graph.nodes.get(link.node) if isinstance(link, Link) else None
    name = loader.inputs.get("model_name") if loader is not None else None
    if not isinstance(name, str) or folders.here("upscale_models", name) is not None:
        return ""
    return shown(name)


def _without_network(node: Node, spec: NodeSpec) -> Preprocessor | None:
    """The learned preprocessor of a hint node, where its network is not here."""
    entry: Preprocessor | None = getattr(spec.cls, "PREPROCESSOR", None)
    if entry is None or not entry.downloads or node.inputs.get("download") is True:
        return None
    model = node.inputs.get("model", "")
    try:
        places = host.current().places()
        model_choice.choose(entry, model if isinstance(model, str) else "", places).check()
    except UserError:
        return entry
    return None


def _with_another_hint(
    graph: Graph, registry: Registry, node: Node, spec: NodeSpec, entry: Preprocessor
) -> Graph:
    """`graph` with a hint by another preprocessor, or the picture itself, in the hint's place."""
    used = {
        link.slot
        for one in graph.nodes.values()
        for link in one.links.values()
        if link.node == node.id
    }
    other = PREPROCESSORS.get(STANDING.get(entry.shows, ""))
    why = "its network is not here"
    if other is None:
        if used <= {0}:
            why += ", and the picture itself stands for its hint"
            return _led_through(graph, node, ("image",), why)
        return graph
    made = registry.spec(other.node)
    if any(slot >= len(made.outputs) or made.outputs[slot] != spec.outputs[slot] for slot in used):
        return graph
    own = {one.name for one in entry.parameters} | {"model", "download", "resolution"}
    inputs = {
        name: value
        for name, value in node.inputs.items()
        if name in made.inputs and name not in own
    }
    stands = Node(node.id, other.node, inputs, node.title)
    note = f"{other.title} stands in for {node.label}: {why}"
    return _changed(graph, note, stands)


def _typed(graph: Graph, registry: Registry, node: Node) -> Graph:
    """SetUnionControlNetType as a loader of a net of that type alone."""
    kind, file = node.inputs.get("type"), net_file(graph, registry, node.inputs.get("control_net"))
    if kind == "auto":
        return _led_through(graph, node, ("control_net",), _NO_UNION)
    if not file or not isinstance(kind, str):
        return graph
    loader = _loader(node.id, kind, file, node.title)
    return _changed(graph, f"{node.label}: {_NO_UNION}, and its net of {kind} stands there", loader)


def _added(graph: Graph, registry: Registry, node: Node) -> Graph:
    """Add ControlNet without what only union and inpainting nets take."""
    kind = node.inputs.get("union_type", "auto")
    file = net_file(graph, registry, node.inputs.get("control_net"))
    inputs = {name: v for name, v in node.inputs.items() if name not in _INPAINT}
    if inputs != node.inputs:
        note = f"{node.label} is given no inpaint_mask or inpaint_image: the demo has no such net"
        graph = _changed(graph, note, replace(node, inputs=inputs))
    if kind == "auto" or not file or not isinstance(kind, str):
        return graph
    loader = _loader(f"{node.id}-net", kind, file, kind)
    inputs |= {"control_net": Link(loader.id, 0), "union_type": "auto"}
    note = f"{node.label}: {_NO_UNION}, and its net of {kind} stands there"
    return _changed(graph, note, replace(node, inputs=inputs), loader)


def _of_rows(graph: Graph, registry: Registry, node: Node) -> Graph:
    """ControlNet Stack without the same."""
    value = node.inputs.get("controls")
    rows = value.get("rows") if isinstance(value, dict) else None
    wires = {n: v for n, v in node.inputs.items() if not n.startswith(tuple(_INPAINT))}
    plain = [_plain_row(row) for row in rows] if isinstance(rows, list) else rows
    changed = {**wires, "controls": {**value, "rows": plain}} if isinstance(value, dict) else wires
    if changed == node.inputs:
        return graph
    note = f"{node.label}: the demo has no union and no inpainting ControlNet; others stand there"
    return _changed(graph, note, replace(node, inputs=changed))


def _plain_row(row: Json) -> Json:
    kind = row.get("union_type", "auto") if isinstance(row, dict) else "auto"
    if not isinstance(row, dict) or kind == "auto":
        return row
    file = row.get("file")
    named = {"file": _named(str(kind), file)} if isinstance(file, str) else {}
    return {**row, **named, "union_type": "auto"}


_NO_UNION = "the demo has no union ControlNet"
_INPAINT = ("inpaint_mask", "inpaint_image")
_OF_NETS: Mapping[str, Callable[[Graph, Registry, Node], Graph]] = {
    "SetUnionControlNetType": _typed,
    "ControlStackAdd": _added,
    "ControlStackRows": _of_rows,
}
"""Nodes that tell a net what only union and inpainting nets know."""


def _loader(node_id: str, kind: str, file: str, title: str) -> Node:
    return Node(node_id, "ControlNetLoader", {"control_net_name": _named(kind, file)}, title)


def _named(kind: str, file: str) -> str:
    """A name for a union net of one kind, by which the demo's net is chosen."""
    return f"{kind} of {file}"


def _changed(graph: Graph, note: str, *nodes: Node) -> Graph:
    """`graph` with these nodes in the place of those of their ids, or besides; without a canvas,
    which would say something else."""
    return replace(
        graph,
        nodes={**graph.nodes, **{node.id: node for node in nodes}},
        workflow=None,
        notes=(*graph.notes, note),
    )


def _without_idle(graph: Graph, before: Graph, registry: Registry) -> Graph:
    """`graph` without the nodes that were needed `before` and that nothing takes any more."""
    idle, specs = before.taken() - graph.taken(), registry.specs(graph)
    kept = {
        key: node for key, node in graph.nodes.items() if key not in idle or is_output(node, specs)
    }
    return replace(graph, nodes=kept)
