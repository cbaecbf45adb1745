"""A node's VALIDATE_INPUTS: its choices are its own to judge for what it names, and what else it
would refuse is said before anything runs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...ground.errors import UserError
from ...ground.memory import is_out_of_memory, out_of_memory
from .model import Graph, Json, Node
from .registry import NodeSpec


@dataclass(frozen=True)
class OwnCheck:
    """What a node's VALIDATE_INPUTS asks for; one without the method asks for nothing."""

    function: Callable[..., Any] | None
    named: frozenset[str]
    required: frozenset[str]
    takes_all: bool

    def exempts(self, name: str) -> bool:
        """Whether the host leaves the choices of input `name` to the node."""
        return self.takes_all or name in self.named

    def problems(
        self,
        accepted: Mapping[str, Json],
        received: Mapping[str, str],
        hidden: Mapping[str, list[Any]],
    ) -> list[str]:
        """What the node says against the inputs that are in order so far.

        What a link feeds is not known yet, and a check that needs it waits until the node runs;
        `received` has the types of those inputs, `hidden` what the node gets beside them.
        """
        if self.function is None:
            return []
        given: dict[str, object] = {"input_types": dict(received)}
        given.update((name, values[0]) for name, values in hidden.items())
        given.update(accepted)
        arguments = {name: value for name, value in given.items() if name in self.named}
        if self.takes_all:
            arguments.update(accepted)
        if not self.required <= arguments.keys():
            return []  # one is fed by a link, or is missing or wrong, which is said already
        arguments |= {name: None for name in received if self.exempts(name)}  # as the core has it
        try:
            verdict = self.function(**arguments)
        except UserError as error:
            return [error.sentence]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return [out_of_memory(error, "its check").sentence]
        if verdict is True:
            return []
        return _separate(verdict) if isinstance(verdict, str) else ["its inputs are refused"]


def _separate(words: str) -> list[str]:
    """The things that a verdict names, a line each; what is indented belongs to what is before."""
    return re.split(r"\n(?! )", words)


def hidden(node: Node, spec: NodeSpec, graph: Graph) -> dict[str, list[Any]]:
    """What `node` asks for beside its inputs, as lists of one: the graph, the canvas, its id."""
    workflow = None if graph.workflow is None else {"workflow": graph.workflow}
    given: dict[str, Callable[[], Any]] = {
        "PROMPT": graph.prompt,
        "EXTRA_PNGINFO": lambda: workflow,
        "UNIQUE_ID": lambda: node.id,
    }
    return {name: [given[kind]()] for name, kind in spec.hidden.items() if kind in given}


def own_check(spec: NodeSpec) -> OwnCheck:
    """The check that the node class of `spec` brings."""
    function = getattr(spec.cls, "VALIDATE_INPUTS", None)
    if function is None:
        return OwnCheck(None, frozenset(), frozenset(), takes_all=False)
    parameters = inspect.signature(function).parameters.values()
    named = [item for item in parameters if item.kind is not item.VAR_KEYWORD]
    return OwnCheck(
        function,
        frozenset(item.name for item in named),
        frozenset(item.name for item in named if item.default is item.empty),
        takes_all=len(named) < len(parameters),
    )
