"""A graph as conversion sees it, whichever form it is saved in, and what is to be changed in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..ground.structured import Json
from ..ground.wording import one_line
from .known import TITLES

MUTED, BYPASSED = 2, 4
"""A drawn node's `mode` (ComfyUI_frontend, `LGraphEventMode`: NEVER and BYPASS)."""

ENTRY, EXIT = "-10", "-20"
"""The ids that links give to a subgraph's own inputs and outputs."""

REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})


@dataclass(frozen=True)
class Port:
    """Output `slot` of a node; in a `New`, the node may be another one's key."""

    node: str
    slot: int


@dataclass(frozen=True)
class Piece:
    """One node.

    Args:
        fields: the values that stand in it, by name; those that come through a wire are not here.
        wires: what its inputs come from, fields included, by name.
        shown: the fields that a subgraph node shows as its own; they have to stay.
    """

    id: str
    type: str
    title: str = ""
    mode: int = 0
    fields: Mapping[str, Json] = field(default_factory=dict)
    wires: Mapping[str, Port] = field(default_factory=dict)
    shown: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """How sentences name it: `node 3 (KSampler)`."""
        return one_line(f"node {self.id} ({self.title or TITLES.get(self.type, self.type)})")


@dataclass(frozen=True)
class Use:
    """Input `name` of a node; of a subgraph's output, the node is `EXIT`."""

    node: str
    name: str


@dataclass(frozen=True)
class View:
    """One graph: a prompt, a canvas, or the inside of a subgraph. `exits` are what the subgraph's
    outputs come from, by number.
    """

    pieces: Mapping[str, Piece]
    exits: Mapping[str, Port] = field(default_factory=dict)

    @cached_property
    def _uses(self) -> Mapping[Port, list[Use]]:
        found: dict[Port, list[Use]] = {}
        for piece in self.pieces.values():
            for name, port in piece.wires.items():
                found.setdefault(port, []).append(Use(piece.id, name))
        for name, port in self.exits.items():
            found.setdefault(port, []).append(Use(EXIT, name))
        return found

    def uses(self, port: Port) -> list[Use]:
        """The inputs that come from `port`, those behind reroutes instead of the reroutes."""
        ends: list[Use] = []
        for use in self._direct(port, set()):
            if not self.is_reroute(use.node):
                ends.append(use)
        return ends

    def _direct(self, port: Port, seen: set[Port]) -> Iterator[Use]:
        if port in seen:
            return
        seen.add(port)
        for use in self._uses.get(port, []):
            yield use
            if self.is_reroute(use.node):
                yield from self._direct(Port(use.node, 0), seen)

    def users(self, node: str) -> set[str]:
        """The nodes that an output of `node` goes into, reroutes among them."""
        return {use.node for port in self._uses if port.node == node for use in self._uses[port]}

    def slots(self, node: str) -> set[int]:
        """The outputs of `node` that are used."""
        return {port.slot for port in self._uses if port.node == node and self.uses(port)}

    def is_reroute(self, node: str) -> bool:
        """Whether the node is one that only leads a wire elsewhere."""
        piece = self.pieces.get(node)
        return piece is not None and piece.type in REROUTES

    def origin(self, port: Port | None) -> Port | None:
        """Where a wire from `port` begins, behind reroutes; None where it begins nowhere."""
        seen = set[Port]()
        while port is not None and self.is_reroute(port.node):
            if port in seen:
                return None
            seen.add(port)
            port = next(iter(self.pieces[port.node].wires.values()), None)
        return port

    def source(self, piece: Piece, name: str) -> Port | None:
        """Where the wire at an input begins, behind reroutes."""
        return self.origin(piece.wires.get(name))


@dataclass(frozen=True)
class New:
    """A node to be made; `near` is the node that it is drawn at, moved by `by` (x, y) pixels."""

    key: str
    type: str
    fields: Mapping[str, Json]
    wires: Mapping[str, Port]
    near: str
    by: tuple[int, int] = (0, 0)
    mode: int = 0


@dataclass
class Change:
    """What is to become of a graph.

    Args:
        new: nodes to be made.
        removed: the ids of those that go.
        moved: where what comes from an output of theirs comes from instead. It may name an output
            that is moved itself.
        rewired: inputs of nodes that stay, and what they come from.
    """

    new: list[New] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    moved: dict[Port, Port] = field(default_factory=dict)
    rewired: dict[Use, Port] = field(default_factory=dict)

    def resolved(self, port: Port) -> Port:
        """`port`, or where it was moved to."""
        seen = set[Port]()
        while port in self.moved and port not in seen:
            seen.add(port)
            port = self.moved[port]
        return port


def without_loose_ends(view: View, change: Change) -> None:
    """Remove the reroutes that led only from nodes that go to nodes that go."""
    more = True
    while more:
        more = False
        for piece in view.pieces.values():
            if piece.id in change.removed or not view.is_reroute(piece.id):
                continue
            users = view.users(piece.id)
            fed = [change.resolved(port).node for port in piece.wires.values()]
            if users <= change.removed and users and all(one in change.removed for one in fed):
                change.removed.add(piece.id)
                more = True
