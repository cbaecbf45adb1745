"""Run a graph: what its outputs need and has changed, in topological order."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from ...ground.errors import UserError
from ...ground.log import saying_once
from ...ground.memory import is_out_of_memory, out_of_memory
from ...ground.wording import one_line
from .. import folders
from .call import Outcome, asked_for, call_node, change_mark
from .lazy import in_turn
from .model import Graph, Json, Link, Node
from .needed import needed_nodes, origins
from .needs import Needs
from .own_check import hidden
from .registry import NodeSpec, Registry
from .values import convert


@dataclass(frozen=True)
class Event:
    """A node starts, is done, or was not run because its result of the run before still holds.

    `ui` is what it shows, once there is a result.
    """

    kind: Literal["start", "done", "cached"]
    node: Node
    seconds: float
    index: int
    total: int
    ui: Mapping[str, Any] = field(default_factory=dict)


RUNNING: ContextVar[Mapping[str, Any]] = ContextVar("running")
"""The inputs of the node that runs now; the first of each, where there are several."""

OnEvent: TypeAlias = Callable[[Event], None]
OnBegin: TypeAlias = Callable[[Collection[str]], None]
"""Told the ids of the nodes whose results of the run before still hold, before any node runs."""


@dataclass(frozen=True)
class Results:
    """What a run made: by node id, the lists of values at each output (empty where they were let
    go), and what nodes show.
    """

    outputs: Mapping[str, Sequence[list[Any]]]
    ui: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]

    def value(self, node_id: str, slot: int = 0) -> Any:
        """The one value at an output; the first of a list."""
        return self.outputs[node_id][slot][0]

    def files(self, kind: Literal["output", "temp"] = "output") -> tuple[Path, ...]:
        """The files that nodes such as SaveImage ("output") or PreviewImage ("temp") wrote, in
        order.
        """
        return tuple(
            folders.root(kind) / file["subfolder"] / file["filename"]
            for shown in self.ui.values()
            for name in ("images", "latents")
            for file in shown.get(name, ())
            if file["type"] == kind
        )


class NodeError(RuntimeError):
    """A node raised something that is no UserError: a fault of the node, named with it."""


class Executor:
    """Runs graphs one after the other and keeps the results that the next one can use.

    A result is kept while its node's type, values, inputs and IS_CHANGED stay the same, and
    dropped at the first run that does not need it, unless that of the run before said that a later
    one will (`again`); changed folders drop all.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kept: dict[str, Outcome] = {}
        self._lasting: set[str] = set()
        self._objects: dict[tuple[str, str], Any] = {}
        self._folders: folders.Folders | None = None

    @saying_once()
    def run(
        self,
        graph: Graph,
        on_event: OnEvent | None = None,
        *,
        once: bool = False,
        again: Collection[str] = (),
        outputs: Collection[str] | None = None,
        on_begin: OnBegin | None = None,
    ) -> Results:
        """Run a graph that `validate` has accepted, or what its nodes `outputs` need of it.

        With `once` a value is let go as soon as no node needs it any more, and nothing is kept for
        another run. `again` are the ids of nodes whose results a later run will ask for, though the
        next one may not; each run says it of its own nodes. Raises UserError for what a node says
        its user can mend and where memory ends, and NodeError for anything else a node raises; both
        name the node. KeyboardInterrupt passes through.
        """
        self._forget_other_folders()
        specs = self._registry.specs(graph)
        edges = {
            key: origins(graph.nodes[key], specs) for key in needed_nodes(graph, specs, outputs)
        }
        order = [graph.nodes[key] for key in TopologicalSorter(edges).static_order()]
        values = {node.id: _values(node, specs[node.type]) for node in order}
        keys = _signatures(order, values, specs)
        needed = {*keys.values(), *self._lasting}
        self._kept = {key: kept for key, kept in self._kept.items() if key in needed}
        for node in order:
            (self._lasting.add if node.id in again else self._lasting.discard)(keys[node.id])
        needs = Needs(order, values, keys) if once else None
        places = {(node.id, node.type) for node in order}
        self._objects = {key: node for key, node in self._objects.items() if key in places}
        seconds: dict[str, float] = {}
        tell = on_event or _ignore
        ran: list[Node] = []
        if on_begin is not None:
            on_begin([node_id for node_id, key in keys.items() if key in self._kept])

        def ask(node: Node) -> Collection[str]:
            return self._asked(node, specs[node.type], graph, values[node.id], keys)

        for node in in_turn(graph, specs, ask, outputs):
            place = (len(ran), len(order))
            ran.append(node)
            key = keys[node.id]
            if key in self._kept:
                tell(Event("cached", node, 0.0, *place, self._kept[key].ui))
            else:
                tell(Event("start", node, 0.0, *place))
                began = time.perf_counter()
                self._kept[key] = self._run_node(
                    node, specs[node.type], graph, values[node.id], keys
                )
                seconds[node.id] = time.perf_counter() - began
                tell(Event("done", node, seconds[node.id], *place, self._kept[key].ui))
            _require_outputs(node, self._kept[key], order, specs)
            if needs is not None:
                needs.done(node, self._kept)
        outcomes = {node.id: self._kept[keys[node.id]] for node in ran}
        if once:
            self._kept = {}
        return Results(
            {node_id: outcome.outputs for node_id, outcome in outcomes.items()},
            {node_id: outcome.ui for node_id, outcome in outcomes.items() if outcome.ui},
            seconds,
        )

    def forget(self) -> None:
        """Let go of what only later runs would ask for: they make it again."""
        self._lasting.clear()

    def _forget_other_folders(self) -> None:
        now = folders.current()
        if now != self._folders:
            self._kept.clear()
            self._lasting.clear()
            self._folders = now

    def _run_node(
        self,
        node: Node,
        spec: NodeSpec,
        graph: Graph,
        values: Mapping[str, Json | Link],
        keys: Mapping[str, str],
    ) -> Outcome:
        arguments = self._arguments(node, spec, graph, values, keys)
        with torch.no_grad(), _running(arguments), _said_of(node):
            return call_node(self._object(node, spec), spec, arguments)

    def _asked(
        self,
        node: Node,
        spec: NodeSpec,
        graph: Graph,
        values: Mapping[str, Json | Link],
        keys: Mapping[str, str],
    ) -> Collection[str]:
        """Which of its lazy inputs the node asks for; one whose result is kept, for those kept."""
        if keys[node.id] in self._kept:
            links = {name: value for name, value in values.items() if isinstance(value, Link)}
            return [name for name, link in links.items() if keys[link.node] in self._kept]
        arguments = self._arguments(node, spec, graph, values, keys)
        with torch.no_grad(), _said_of(node):
            return asked_for(self._object(node, spec), spec, arguments)

    def _arguments(
        self,
        node: Node,
        spec: NodeSpec,
        graph: Graph,
        values: Mapping[str, Json | Link],
        keys: Mapping[str, str],
    ) -> dict[str, list[Any]]:
        """What the node is called with; as in the core, None stands for an input not made."""
        found: dict[str, list[Any]] = {}
        for name, value in values.items():
            if isinstance(value, Link):
                made = self._kept.get(keys[value.node])
                found[name] = [None] if made is None else made.outputs[value.slot]
            else:
                found[name] = [value]
        return {**found, **hidden(node, spec, graph)}

    def _object(self, node: Node, spec: NodeSpec) -> Any:
        if (node.id, node.type) not in self._objects:
            self._objects[node.id, node.type] = spec.cls()
        return self._objects[node.id, node.type]


@contextmanager
def _said_of(node: Node) -> Iterator[None]:
    """Name the node in what goes wrong inside the block."""
    try:
        yield
    except UserError as error:
        raise error.at(node.label) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, node.label) from error
        said = one_line(f"{type(error).__name__}: {error}")
        raise NodeError(f"{node.label} failed: {said}") from error


def _require_outputs(
    node: Node, outcome: Outcome, order: Sequence[Node], specs: Mapping[str, NodeSpec]
) -> None:
    """Raise UserError where another node cannot do without an output that came to nothing: None,
    as a checkpoint's VAE is where its file has no VAE. Said now, not after an hour of sampling.
    """
    for user in order:
        for name, value in user.inputs.items():
            if not isinstance(value, Link) or value.node != node.id:
                continue
            if None in outcome.outputs[value.slot] and specs[user.type].requires(name):
                kind = specs[node.type].outputs[value.slot]
                raise UserError(
                    f"{node.label} has no {kind} to give, and {user.label} needs one for its input "
                    f"{name}: wire a node that loads a {kind}"
                )


def _values(node: Node, spec: NodeSpec) -> dict[str, Json | Link]:
    """The inputs the node declares, converted; the core passes no others."""
    found: dict[str, Json | Link] = {}
    for name, declared in spec.live(node.inputs).inputs.items():
        value = node.inputs.get(name)
        if isinstance(value, Link):
            found[name] = value
        elif name in node.inputs and (value is not None or declared.takes_value):
            found[name] = convert(declared, value)
    return found


def _signatures(
    order: Sequence[Node],
    values: Mapping[str, Mapping[str, Json | Link]],
    specs: Mapping[str, NodeSpec],
) -> dict[str, str]:
    """A digest for each node of all that its result depends on, its origins' digests included."""
    keys: dict[str, str] = {}
    for node in order:
        spec = specs[node.type]
        inputs: dict[str, Json] = {
            name: {"from": keys[value.node], "slot": value.slot}
            if isinstance(value, Link)
            else {"value": value}
            for name, value in values[node.id].items()
        }
        own_id = node.id if "UNIQUE_ID" in spec.hidden.values() else None
        mark = change_mark(spec, values[node.id])
        parts = [node.type, inputs, own_id, uuid.uuid4().hex if mark is None else mark]
        text = json.dumps(parts, sort_keys=True)
        keys[node.id] = hashlib.sha256(text.encode()).hexdigest()
    return keys


@contextmanager
def _running(arguments: Mapping[str, list[Any]]) -> Iterator[None]:
    token = RUNNING.set({name: values[0] for name, values in arguments.items() if values})
    try:
        yield
    finally:
        RUNNING.reset(token)


def _ignore(event: Event) -> None:
    return None
