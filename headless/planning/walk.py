"""An abstract run of a graph: light nodes really run, heavy ones act on stand-ins, and a node that
is not known passes on what it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch

from ...ground.errors import UserError
from ...nodes import NODE_CLASS_MAPPINGS as OURS
from ..core_nodes import CORE_NODES as CORE
from ..graph.call import call_node
from ..graph.model import Graph, Link, Node
from ..graph.own_check import hidden, own_check
from ..graph.registry import InputSpec, NodeSpec, Registry
from ..graph.values import check_choice, check_range, convert
from .acts import ACTS, FURTHER, apply_to_both, apply_to_one, sample
from .values import NO_MASK, NO_PICTURE, UNKNOWN, Net, Sampled, Unknown, fresh, passed_on

SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
PICTURES = ("LoadImage", "LoadImageMask", "ImageScale", "ImageScaleBy", "ImageInvert")
"""Core nodes that are run for their pictures."""

_VALUES = {"CONTROL_FACTOR", "CONTROL_STACK"}


def planning_registry() -> Registry:
    """The embedded host's nodes, and those that only a plan knows."""
    return Registry({**FURTHER, **CORE, **OURS})


class Walk:
    """The values of a graph's nodes, made from the sources on.

    Attributes:
        notes: what was left out, said once each.
    """

    def __init__(self, graph: Graph, registry: Registry) -> None:
        self._graph = graph
        self._specs = {node.type: registry.get(node.type) for node in graph.nodes.values()}
        self._outputs: dict[str, Sequence[Any]] = {}
        self._inputs: dict[str, dict[str, Any]] = {}  # of nodes that are not known
        self.notes: dict[str, None] = {}

    def samplers(self) -> list[tuple[Node, Sampled]]:
        """Each node that samples and what it does; what waits for the latent of another comes
        after it.

        Raises:
            UserError: links in a circle; a value that a node refuses. Names the node.
        """
        wanted = [node for node in self._graph.nodes.values() if self._samples(node)]
        edges: dict[str, list[str]] = {}
        waiting = [node.id for node in wanted]
        while waiting:
            key = waiting.pop()
            if key not in edges:
                edges[key] = self._origins(self._graph.nodes[key])
                waiting += edges[key]
        for node in self._ordered(edges):
            self._make(node)
        found = [
            (node, made)
            for node in wanted
            for made in self._outputs.get(node.id, ())[:1]
            if isinstance(made, Sampled)
        ]
        return sorted(found, key=lambda one: one[1].passes)

    def _ordered(self, edges: Mapping[str, Sequence[str]]) -> list[Node]:
        try:
            return [self._graph.nodes[key] for key in TopologicalSorter(edges).static_order()]
        except CycleError as error:
            nodes = [self._graph.nodes[key].label for key in error.args[1]]
            raise UserError(
                f"the links go in a circle: {' -> '.join(nodes)}; remove one of them"
            ) from error

    def _samples(self, node: Node) -> bool:
        if node.type in SAMPLERS:
            return True
        # Another pack's: it has what a KSampler is given.
        linked = {name for name, value in node.inputs.items() if isinstance(value, Link)}
        return (
            self._specs[node.type] is None
            and {"model", "positive"} <= linked
            and {"steps", "scheduler"} <= node.inputs.keys()
        )

    def _origins(self, node: Node) -> list[str]:
        links = [value for value in node.inputs.values() if isinstance(value, Link)]
        return list(dict.fromkeys(one.node for one in links if one.node in self._graph.nodes))

    def _make(self, node: Node) -> None:
        spec = self._specs[node.type]
        if spec is None:
            self._make_unknown(node)
            return
        known = node.type in ACTS or self._is_light(node, spec)
        inputs = self._given(node, spec, checked=known)
        if node.type in ACTS:
            with_name = _named(node, lambda: ACTS[node.type](**inputs))
            self._outputs[node.id] = with_name
        elif known:
            self._outputs[node.id] = self._run(node, spec, inputs)
        else:
            values = list(inputs.values())
            kinds = spec.outputs
            self._outputs[node.id] = [
                passed_on(kind, values, kinds[:slot].count(kind)) for slot, kind in enumerate(kinds)
            ]

    def _make_unknown(self, node: Node) -> None:
        inputs = {
            name: self._passed(value) if isinstance(value, Link) else value
            for name, value in node.inputs.items()
        }
        if self._samples(node):
            self._note(f"{node.label} is not known here: it is taken for a KSampler")
            self._outputs[node.id] = _named(node, lambda: sample(**inputs))
        elif isinstance(inputs.get("control_net"), Net) and "positive" in inputs:
            self._note(f"{node.label} is not known here: it is taken for an Apply ControlNet")
            self._outputs[node.id] = _named(node, lambda: apply_to_both(**inputs))
        elif isinstance(inputs.get("control_net"), Net) and "conditioning" in inputs:
            self._note(f"{node.label} is not known here: it is taken for an Apply ControlNet")
            self._outputs[node.id] = _named(node, lambda: apply_to_one(**inputs))
        else:
            self._inputs[node.id] = inputs

    def _passed(self, link: Link) -> Any:
        """The value of a link into a node that is not known: nobody says what type it has."""
        outputs = self._outputs.get(link.node, ())
        if link.slot < len(outputs):
            return outputs[link.slot]
        inner = self._inputs.get(link.node)
        return _Opaque(inner, link.slot) if inner is not None else UNKNOWN

    def _fed(self, node: Node, name: str, link: Link, kind: str) -> Any:
        outputs = self._outputs.get(link.node)
        if outputs is not None:
            return outputs[link.slot] if link.slot < len(outputs) else fresh(kind)
        inner = self._inputs.get(link.node)
        if inner is None:
            return fresh(kind)
        value = _Opaque(inner, link.slot).as_a(kind)
        if isinstance(value, Unknown) and kind in ("INT", "FLOAT", "SIGMAS", "CURVE", "BOOLEAN"):
            origin = self._graph.nodes[link.node].label
            self._note(
                f"{node.label}: its {name} comes from {origin}, which is not known here, and is "
                "left out of this plan"
            )
        return value

    def _given(self, node: Node, spec: NodeSpec, checked: bool) -> dict[str, Any]:
        """The node's inputs; a value that is not known is left out, so that the default holds."""
        judge = own_check(spec)
        found: dict[str, Any] = {}
        for name, declared in spec.inputs.items():
            value = node.inputs.get(name)
            if isinstance(value, Link):
                value = self._fed(node, name, value, declared.type)
                if not isinstance(value, Unknown) or declared.type in ("IMAGE", "MASK"):
                    found[name] = value
            elif value is not None and declared.takes_value:
                try:
                    value = convert(declared, value)
                    if checked:
                        check_range(declared, value)
                    # The core's menus hold names of files, and of samplers of later versions.
                    if checked and node.type in OURS and not judge.exempts(name):
                        check_choice(declared, value)
                except UserError as error:
                    if checked:
                        raise UserError(f"{node.label}: input {name} {error.sentence}") from error
                found[name] = value
        return found

    def _is_light(self, node: Node, spec: NodeSpec) -> bool:
        if node.type in PICTURES:
            return True
        if node.type not in OURS:
            return False
        entry = getattr(spec.cls, "PREPROCESSOR", None)
        of_hints = entry is not None and entry.learning is None
        return of_hints or (bool(spec.outputs) and set(spec.outputs) <= _VALUES)

    def _run(self, node: Node, spec: NodeSpec, inputs: dict[str, Any]) -> Sequence[Any]:
        makes_values = set(spec.outputs) <= _VALUES
        if not makes_values and any(_is_missing(value) for value in inputs.values()):
            return [UNKNOWN] * len(spec.outputs)
        given = {name: _standing(value, spec.inputs[name]) for name, value in inputs.items()}
        for name, declared in spec.inputs.items():
            if declared.required and name not in given:
                given[name] = _standing(UNKNOWN, declared)
        arguments = {name: [value] for name, value in given.items()}
        arguments |= hidden(node, spec, self._graph)
        try:
            with torch.no_grad():
                outcome = call_node(spec.cls(), spec, arguments)
        except UserError as error:
            if makes_values:
                raise error.at(node.label) from error
            self._note(f"{node.label}: {error.sentence.rstrip('.')}; its picture is not shown")
            return [UNKNOWN] * len(spec.outputs)
        return [values[0] if values else UNKNOWN for values in outcome.outputs]

    def _note(self, words: str) -> None:
        self.notes[words] = None


class _Opaque:
    """What comes out of a node that is not known."""

    def __init__(self, inputs: Mapping[str, Any], slot: int) -> None:
        self._inputs, self._slot = inputs, slot

    def as_a(self, kind: str) -> Any:
        """As a value of type `kind`: plain ones by the node's field `value`, as primitives have."""
        if kind in ("INT", "FLOAT", "STRING", "BOOLEAN"):
            value = self._inputs.get("value", UNKNOWN)
            return UNKNOWN if isinstance(value, _Opaque) else value
        values = [
            value.as_a(kind) if isinstance(value, _Opaque) else value
            for value in self._inputs.values()
        ]
        return passed_on(kind, values, self._slot)


def _named(node: Node, act: Any) -> Sequence[Any]:
    try:
        made: Sequence[Any] = act()
    except UserError as error:
        raise error.at(node.label) from error
    return made


def _is_missing(value: Any) -> bool:
    return isinstance(value, Unknown) or (value is NO_PICTURE or value is NO_MASK)


def _standing(value: Any, declared: InputSpec) -> Any:
    """A value that our nodes can take where there is none."""
    if not isinstance(value, (Unknown, _Opaque)):
        return value
    stands: dict[str, Any] = {"IMAGE": NO_PICTURE, "MASK": NO_MASK, "CONTROL_NET": Net()}
    return stands.get(declared.type, declared.default)
