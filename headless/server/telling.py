"""What a run is told as: ComfyUI's messages, in its order, and what `/history` keeps of them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ..graph.execute import Event
from ..graph.model import Graph, Link, Node
from .packed import text_of
from .queue import Job
from .stop import Stop

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TEXT = 200
"""Letters of an input that a failed node is told with."""


class Listeners(Protocol):
    """Who is told: all clients, or the one of an id. May be called from every thread."""

    def tell(self, kind: str, data: Mapping[str, Any], client: str | None = None) -> None:
        """Send a message; to everybody where `client` is None."""

    def show(self, picture: Image, where: Mapping[str, Any], client: str | None = None) -> None:
        """Send a picture of work under way; `where` names the prompt and the node."""


class Telling:
    """One run as its client hears of it. A run without a client is told to nobody, except for its
    progress, which everybody hears, as in ComfyUI.
    """

    def __init__(self, job: Job, listeners: Listeners, stop: Stop) -> None:
        self.job = job
        self.node: str | None = None
        self.outputs: dict[str, Mapping[str, Any]] = {}
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._listeners, self._stop = listeners, stop
        self._states: dict[str, dict[str, Any]] = {}
        self._executed: list[str] = []
        self._graph = Graph({})

    def started(self) -> None:
        """The run begins."""
        self._note("execution_start")

    def plan(self, graph: Graph, kept: Collection[str]) -> None:
        """`kept` will not run again; of them ComfyUI tells what the output nodes show, alone."""
        self._graph = graph
        self._note("execution_cached", nodes=list(kept))

    def event(self, event: Event) -> None:
        """A node starts or is done; raises Stopped where the run shall end."""
        self._stop.check()
        node = event.node.id
        if event.kind == "start":
            self.node = node
            self._state(node, "running", 0.0, 1.0)
            self._to_client("executing", node=node, display_node=node)
            return
        told = event.kind == "done" or node in self.job.outputs
        if event.ui and told:
            self.outputs[node] = event.ui
            self._to_client("executed", node=node, display_node=node, output=event.ui)
        if event.kind == "done":
            self._executed.append(node)
        if told:
            most = self._states.get(node, {"max": 1.0})["max"]
            self._state(node, "finished", most, most)

    def stage(self, text: str) -> None:
        """Work of unknown length: the canvas shows none."""

    @contextmanager
    def steps(self, total: int, text: str) -> Iterator[_Steps]:
        """A node's own bar."""
        yield _Steps(self, total)

    def step(self, value: int, total: int, picture: Image | None) -> None:
        """A step is done; raises Stopped where the run shall end."""
        self._stop.check()
        node, client = self.node, self.job.client
        if node is None:
            return
        self._state(node, "running", value, total)
        progress = {"value": value, "max": total, "prompt_id": self.job.id, "node": node}
        self._listeners.tell("progress", progress, client)
        if picture is not None:
            self._listeners.show(picture, self._where(node), client)

    def succeeded(self) -> None:
        """All ran."""
        self._note("execution_success")

    def interrupted(self) -> None:
        """A person stopped the run: this is told to everybody."""
        data = self._at_node(self.node) if self.node else {}
        self._note("execution_interrupted", to_all=True, **data, executed=self._executed)

    def failed(self, error: BaseException) -> None:
        """A node raised `error`, or what it was made from."""
        cause = error.__cause__ or error
        node = node_named(str(error), self._graph) or self._graph.nodes.get(self.node or "")
        self._note(
            "execution_error",
            **(self._at_node(node.id) if node else {"node_id": None, "node_type": None}),
            executed=self._executed,
            exception_message=f"{cause}\n",
            exception_type=full_name(type(cause)),
            traceback=traceback.format_tb(cause.__traceback__),
            current_inputs=_inputs(node) if node else {},
            current_outputs=self._executed,
        )

    def ended(self) -> None:
        """The very last message of a run; clients wait for it."""
        self.node = None
        self._to_client("executing", node=None)

    def entry(self) -> str:
        """The JSON of `/history`."""
        success = bool(self.messages) and self.messages[-1][0] == "execution_success"
        meta = {
            node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
            for node in self.outputs
        }
        rest = {
            "outputs": self.outputs,
            "status": {
                "status_str": "success" if success else "error",
                "completed": success,
                "messages": self.messages,
            },
            "meta": meta,
        }
        return f'{{"prompt":{self.job.told()},{text_of(rest)[1:]}'

    def _at_node(self, node_id: str | None) -> dict[str, Any]:
        node = self._graph.nodes.get(node_id or "")
        return {"node_id": node_id, "node_type": node.type if node else None}

    def _where(self, node: str) -> dict[str, Any]:
        return {
            "node_id": node,
            "prompt_id": self.job.id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }

    def _state(self, node: str, state: str, value: float, most: float) -> None:
        self._states[node] = {"value": value, "max": most, "state": state, **self._where(node)}
        data = {"prompt_id": self.job.id, "nodes": dict(self._states)}
        self._listeners.tell("progress_state", data, self.job.client)

    def _to_client(self, kind: str, **data: Any) -> None:
        if self.job.client is not None:
            self._listeners.tell(kind, {**data, "prompt_id": self.job.id}, self.job.client)

    def _note(self, kind: str, to_all: bool = False, **data: Any) -> None:
        """A message that `/history` keeps."""
        whole = {"prompt_id": self.job.id, **data, "timestamp": int(time.time() * 1000)}
        self.messages.append((kind, whole))
        if self.job.client is not None or to_all:
            self._listeners.tell(kind, whole, self.job.client)


class _Steps:
    def __init__(self, telling: Telling, total: int) -> None:
        self._telling, self._total, self._done = telling, total, 0

    def advance(self, picture: Image | None = None) -> None:
        """One more step is done."""
        self._done += 1
        self._telling.step(self._done, self._total, picture)


def node_named(sentence: str, graph: Graph) -> Node | None:
    """The node that a sentence of the executor begins with."""
    return next((n for n in graph.nodes.values() if sentence.startswith(n.label)), None)


def full_name(kind: type[BaseException]) -> str:
    """The name of an error as ComfyUI tells it: with its module, unless it is Python's own."""
    own = kind.__module__ == "builtins"
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def _inputs(node: Node) -> dict[str, list[str]]:
    return {
        name: [str(value)[:MOST_TEXT]]
        for name, value in node.inputs.items()
        if not isinstance(value, Link)
    }
