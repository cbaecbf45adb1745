"""From the canvas to the graph: what ComfyUI's front end does when it queues a prompt.

Subgraphs are opened (a node 3 inside subgraph node 12 becomes "12:3"), links are followed to the
nodes that are sent (`follow.py`), primitive nodes and promoted fields become values, dynamic
prompts are chosen, notes and switches vanish. Muted nodes go, and with them every node that cannot
do without their output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ...ground.errors import UserError
from ...ground.wording import listing, one_line, shown
from .canvas_nodes import UNSENT, feeding, is_furniture, slots_of
from .dynamic_prompts import Draws, Seeded, resolve
from .everywhere import connect
from .follow import Canvas, Constant, Scope
from .group_nodes import opened
from .model import Graph, Json, Link, Node, Value
from .prune import prune
from .registry import NodeSpec, Registry
from .ui_format import BYPASSED, MUTED, UiDocument, UiGraph, UiNode
from .widgets import widget_values


def flatten(
    document: UiDocument, registry: Registry, source: str, draws: Draws | None = None
) -> Graph:
    """The graph that the canvas means; `source` names the file in errors, `draws` choose in dynamic
    prompts (by default those of seed 0).

    Raises UserError for links to nothing, links in a circle, subgraphs that hold themselves, and a
    Get without a Set.
    """
    return _Flattener(document, registry, source, draws or Seeded(0)).graph()


class _Flattener:
    def __init__(self, document: UiDocument, registry: Registry, source: str, draws: Draws) -> None:
        self._workflow = document.json
        document = opened(document, registry.get, source)
        graphs = (document.canvas, *document.definitions.values())
        types = dict.fromkeys(node.type for graph in graphs for node in graph.nodes.values())
        self._specs = {node_type: registry.get(node_type) for node_type in types}
        self._draws = draws
        self._notes: list[str] = []
        definitions = {key: self._settled(graph) for key, graph in document.definitions.items()}
        root = self._settled(document.canvas, is_root=True)
        self._canvas = Canvas(root, definitions, source)

    def graph(self) -> Graph:
        nodes: dict[str, Node] = {}
        starved: dict[str, str] = {}
        for scope, ui_node in self._real_nodes():
            node_id = scope.full_id(ui_node)
            inputs, muted = self._inputs(scope, ui_node, self._specs[ui_node.type])
            nodes[node_id] = Node(node_id, ui_node.type, inputs, ui_node.title or ui_node.type)
            if muted is not None:
                starved[node_id] = muted
        self._canvas.require_set()
        graph = Graph(nodes, self._workflow, tuple(self._notes), asleep=self._asleep())
        return prune(graph, starved, self._specs)

    def _settled(self, graph: UiGraph, *, is_root: bool = False) -> UiGraph:
        """`graph` with the inputs that known nodes have, in the front end's order, and the links
        that Anything Everywhere makes.
        """
        nodes = {
            key: node if (spec := self._specs[node.type]) is None else slots_of(node, spec)
            for key, node in graph.nodes.items()
        }
        graph, notes = connect(replace(graph, nodes=nodes), is_root=is_root)
        self._notes += notes
        return graph

    def _asleep(self) -> tuple[Node, ...]:
        """The nodes that are muted or bypassed, without the inside of subgraphs that are."""
        return tuple(
            Node(scope.full_id(node), node.type, {}, node.title or node.type)
            for scope in self._canvas.scopes.values()
            for node in scope.graph.nodes.values()
            if node.mode in (MUTED, BYPASSED)
        )

    def _real_nodes(self) -> Iterator[tuple[Scope, UiNode]]:
        """The nodes that are sent. What is not known and touches no link is furniture."""
        for scope in self._canvas.scopes.values():
            linked = feeding(scope.graph)
            for node in scope.graph.nodes.values():
                if node.mode in (MUTED, BYPASSED) or node.type in self._canvas.definitions:
                    continue
                known = self._specs[node.type] is not None
                if known or not (node.type in UNSENT or is_furniture(node, linked)):
                    yield scope, node

    def _inputs(
        self, scope: Scope, node: UiNode, spec: NodeSpec | None
    ) -> tuple[dict[str, Value], str | None]:
        """The node's inputs, and the muted node that a required one would have come from."""
        inputs = self._fields(node, spec)
        # What a subgraph shows is sent as it is, also where the subgraph keeps no value for it.
        shown_here = [] if scope.host is None else [*scope.host.proxies, *scope.shown_values]
        settled = {
            name: scope.shown_values.get((inner, name), inputs.get(name))
            for inner, name in shown_here
            if inner == node.id and (name in inputs or (inner, name) in scope.shown_values)
        }
        starved = None
        for slot in node.inputs:
            if slot.link is None:
                continue
            origin = self._canvas.source(scope, slot, node)
            if isinstance(origin, Link) or (isinstance(origin, Constant) and origin.shown):
                settled[slot.name] = origin if isinstance(origin, Link) else origin.value
            elif isinstance(origin, Constant):
                inputs[slot.name] = origin.value
            elif origin.shown and slot.name in inputs:
                settled.setdefault(slot.name, inputs[slot.name])
            elif origin.muted is not None and not slot.is_widget:
                inputs.pop(slot.name, None)
                if spec is None or spec.requires(slot.name):
                    starved = origin.muted
        for name in self._dynamic(spec, inputs, settled):
            inputs[name] = self._choose(scope, node, name, inputs[name])
        return {**inputs, **settled}, starved

    def _fields(self, node: UiNode, spec: NodeSpec | None) -> dict[str, Value]:
        """The values of the node's fields as they are stored."""
        values = widget_values(spec.widgets if spec is not None else [], node.stored, node.named)
        # By name the canvas also keeps what is its own: an upload button, what a seed does next.
        known = values if spec is None else spec.live(values).inputs
        return {name: value for name, value in values.items() if name in known}

    def _dynamic(
        self, spec: NodeSpec | None, inputs: Mapping[str, Value], settled: Mapping[str, Value]
    ) -> list[str]:
        """The fields whose text the node itself sends, and that may hold a choice."""
        if spec is None:
            return []
        return [
            one.name
            for one in spec.live(inputs).inputs.values()
            if one.options.get("dynamicPrompts")
            and one.name not in settled
            and isinstance(inputs.get(one.name), str)
        ]

    def _choose(self, scope: Scope, node: UiNode, name: str, text: Value) -> Json:
        assert isinstance(text, str)
        node_id = scope.full_id(node)
        try:
            found = resolve(text, self._draws(f"{node_id}.{name}"))
        except UserError as error:
            raise UserError(f"node {node_id} ({node.type}): input {name} {error}") from error
        if found.choices:
            said = listing(
                f"{shown(chosen)} of {one_line(block)}" for block, chosen in found.choices
            )
            label = Node(node_id, node.type, {}, node.title).label
            self._notes.append(f"{label}: input {name} takes {said}")
        return found.text
