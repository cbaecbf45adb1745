"""A workflow as the executor sees it: nodes with named inputs, no canvas, no reroutes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from ...ground.structured import Json, JsonObject
from ...ground.wording import shown

__all__ = ["Graph", "Json", "JsonObject", "Link", "Node", "Value"]


@dataclass(frozen=True)
class Link:
    """An input fed by output number `slot` of another node."""

    node: str
    slot: int


Value: TypeAlias = Json | Link


@dataclass(frozen=True)
class Node:
    """One node; nodes inside subgraphs have ids like "12:3", as ComfyUI's own prompts do."""

    id: str
    type: str
    inputs: Mapping[str, Value]
    title: str = ""

    @property
    def label(self) -> str:
        """How messages name this node: `node 3 (KSampler)`, with its title where it has its own."""
        title = f" {shown(self.title)}" if self.title and self.title != self.type else ""
        return f"node {plain(self.id)}{title} ({plain(self.type)})"

    @property
    def links(self) -> dict[str, Link]:
        """The inputs that other nodes feed."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}

    def without(self, gone: Container[str]) -> Node:
        """The node without its links to the nodes `gone`."""
        cut = {name for name, link in self.links.items() if link.node in gone}
        return replace(self, inputs={n: v for n, v in self.inputs.items() if n not in cut})

    def rewired(self, moved: Mapping[Link, Value]) -> Node:
        """The node with what `moved` has in the place of a link."""
        fed = {name: moved[link] for name, link in self.links.items() if link in moved}
        return replace(self, inputs={**self.inputs, **fed})


@dataclass(frozen=True)
class Graph:
    """The nodes of a workflow by id.

    `workflow` is the UI document that ComfyUI's canvas opens, where there was one; `notes` say
    which nodes were left out and why; `asleep` are the nodes that are muted or bypassed.
    """

    nodes: Mapping[str, Node]
    workflow: JsonObject | None = None
    notes: tuple[str, ...] = ()
    asleep: tuple[Node, ...] = ()

    def taken(self) -> set[str]:
        """The ids of the nodes of which others take something."""
        return {link.node for node in self.nodes.values() for link in node.links.values()}

    def prompt(self) -> JsonObject:
        """The API form of this graph, as ComfyUI writes it into its PNGs."""
        return {node.id: _api_node(node) for node in self.nodes.values()}


def plain(text: str) -> str:
    """`text` as it is where it is short and printable, else quoted and cut."""
    return text if text.isprintable() and 0 < len(text) < 80 else shown(text)


def _api_node(node: Node) -> JsonObject:
    inputs = {name: _api_value(value) for name, value in node.inputs.items()}
    return {"inputs": inputs, "class_type": node.type, "_meta": {"title": node.title or node.type}}


def _api_value(value: Value) -> Json:
    if isinstance(value, Link):
        return [value.node, value.slot]
    # A bare list would be read as a link.
    return {"__value__": value} if isinstance(value, list) else value
