"""A chain of nodes that can be one ControlNet Stack, and what stands in the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ..ground.structured import Json
from ..ground.wording import shown
from .known import FIELDS
from .view import BYPASSED, MUTED, Piece, Port, Use, View

MAX_STRENGTH = 10.0


@dataclass(frozen=True)
class Line:
    """A row to be.

    Args:
        net: what its ControlNet comes from, where `file` does not say it.
        settings: strength, start and end, and what else a row may have.
        wires: the row's sockets but for `control_net`: hint, mask ...
    """

    on: bool
    settings: Mapping[str, Json]
    net: Port | None = None
    file: str | None = None
    wires: Mapping[str, Port] = field(default_factory=dict)
    vae: Port | None = None


@dataclass
class Chain:
    """Nodes in the order in which they act.

    Args:
        nodes: those that go.
        wires: the sockets of the stack that are not a row's: model, stack, positive, negative.
        moved: outputs of `nodes`, and the output of the stack in their place.
        rewired: inputs of other nodes, and the output of the stack that they are to come from.
        problems: why it stays as it is.
    """

    nodes: list[str]
    lines: list[Line]
    wires: dict[str, Port] = field(default_factory=dict)
    moved: dict[Port, int] = field(default_factory=dict)
    rewired: dict[Use, int] = field(default_factory=dict)
    record: bool = False
    problems: list[str] = field(default_factory=list)


def problems_of(
    view: View, piece: Piece, needed: Iterable[str] = (), without: Iterable[str] = ()
) -> list[str]:
    """Why a node cannot become a row: `needed` are sockets that have to be wired where it is not
    bypassed, `without` those that have no equal."""
    found = [
        f"{piece.label}: {name} has no equal in a row" for name in without if name in piece.wires
    ]
    for name in FIELDS.get(piece.type, {}):
        if name in piece.wires:
            found.append(f"{piece.label}: its {name} comes through a wire, and a row holds a value")
        elif name in piece.shown:
            found.append(f"{piece.label}: its {name} is shown on a subgraph's node")
    if piece.mode != BYPASSED:
        found += [
            f"{piece.label}: nothing is wired to its {name}"
            for name in needed
            if name not in piece.wires
        ]
        found += [
            f"{piece.label}: what feeds its {name} is muted or bypassed"
            for name in piece.wires
            if (port := view.source(piece, name)) is not None
            and (fed := view.pieces.get(port.node)) is not None
            and (fed.mode == MUTED or (fed.mode == BYPASSED and not fed.wires))
        ]
    return found


def ranged(piece: Piece, names: Mapping[str, str]) -> tuple[dict[str, Json], list[str]]:
    """Strength, start and end from the fields that `names` names, and what is wrong with them."""
    found: dict[str, Json] = {"strength": 1.0, "start": 0.0, "end": 1.0}
    problems = []
    for name, source in names.items():
        if source in piece.wires:
            continue  # said already
        most = MAX_STRENGTH if name == "strength" else 1.0
        value = piece.fields.get(source)
        number = _number(value)
        if number is None or not 0.0 <= number <= most:
            problems.append(
                f"{piece.label}: its {source} is {shown(value)}, and a row takes 0 to {most:g}"
            )
        else:
            found[name] = number
    return found, problems


PLAIN = {"strength": "strength", "start": "start_percent", "end": "end_percent"}
"""The fields of most nodes."""


def walked(last: Piece, before: Callable[[Piece], Piece | None]) -> list[Piece]:
    """The chain that ends with `last`, first node first."""
    chain, seen = [last], {last.id}
    while (piece := before(chain[0])) is not None and piece.id not in seen:
        seen.add(piece.id)
        chain.insert(0, piece)
    return chain


def chains_in(
    pieces: Iterable[Piece], before: Callable[[Piece], Piece | None]
) -> list[list[Piece]]:
    """`pieces` in chains; every piece is in one."""
    every = list(pieces)
    inner = {one.id for piece in every if (one := before(piece)) is not None}
    found = [walked(piece, before) for piece in every if piece.id not in inner]
    return found


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
