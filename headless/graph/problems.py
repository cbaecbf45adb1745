"""One thing that is wrong with a graph, as a value; it becomes a sentence where it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ...ground.not_found import NotFound
from ...ground.wording import listing
from .model import Link, Node, Value, plain

Kind: TypeAlias = Literal[
    "node_type",
    "family",
    "no_output",
    "circle",
    "missing",
    "link",
    "value",
    "file",
    "refused",
    "setting",
]
"""A type that is not known; models of a family that is not here; nothing that would come of a run;
links in a circle; an input without a value; a link to nothing or of the wrong type; a value that
does not fit; a file that is not there; what a node's own check refuses; and what the command, not
the workflow, asks for in vain."""


@dataclass(frozen=True)
class Problem:
    """What is wrong (`words`, half a sentence without the node), at which node and input.

    Args:
        input: "" where it is of the node or the graph as a whole.
        value: what stands at the input, where that is wrong.
        file: of the kind "file", what was looked for.
        url: where the workflow's author got that file.
        circle: the ids of the nodes in a circle.
    """

    kind: Kind
    words: str
    node: Node | None = None
    input: str = ""
    value: Value = None
    file: NotFound | None = None
    url: str = ""
    circle: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The whole of it, with the node's name before it."""
        urls = f"; the workflow's author got it from {self.url}" if self.url else ""
        at = "" if self.node is None else f"{self.node.label}: "
        name = f"input {self.input} " if self.input and self.kind != "file" else ""
        return f"{at}{name}{self.words}{urls}"

    def json(self) -> dict[str, Any]:
        """The data, for programs."""
        found: dict[str, Any] = {"kind": self.kind, "words": self.words}
        if self.node is not None:
            found |= {"node": self.node.id, "type": self.node.type}
        if self.input:
            value = self.value
            shown = [value.node, value.slot] if isinstance(value, Link) else value
            found |= {"input": self.input, "value": shown}
        if self.file is not None:
            found |= {"file": {"kind": self.file.what, "name": self.file.name}}
        return {**found, "url": self.url} if self.url else found


def ids_in_words(ids: list[str]) -> str:
    """ "node 3" or "nodes 3, 4"."""
    return f"node{'s' if len(ids) > 1 else ''} {listing(map(plain, ids))}"
