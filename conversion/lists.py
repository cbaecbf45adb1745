"""Chains of CONTROL_NET_STACK, a list of (control_net, image, strength, start, end).

As efficiency-nodes-comfyui (`TSC_Control_Net_Stacker`), Comfyroll (`CR_ControlNetStack`) and
Easy-Use (`controlnetStack`, whose list names files and is made for its own nodes) make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .chain import PLAIN, Chain, Line, chains_in, problems_of, ranged
from .known import (
    ADD,
    APPLY,
    APPLY_CONDITIONING,
    APPLY_LIST,
    CR_APPLY,
    CR_STACK,
    EASY_STACK,
    ROWS,
    STACKER,
)
from .prompts import NEGATIVE, POSITIVE
from .view import BYPASSED, MUTED, Piece, Port, Use, View

_BEFORE = {
    STACKER: "cnet_stack",
    CR_STACK: "controlnet_stack",
    EASY_STACK: "optional_controlnet_stack",
}
"""The socket of each for the list so far."""

_OURS = (ADD, APPLY, APPLY_CONDITIONING, ROWS)
STACK_OUT, LIST_OUT = 1, 4
"""Outputs of ControlNet Stack."""


@dataclass(frozen=True)
class _Apply:
    """A node that puts a list on prompts: its sockets."""

    stack: str
    positive: str
    negative: str


APPLIES = {
    APPLY_LIST: _Apply("cnet_stack", "positive", "negative"),
    CR_APPLY: _Apply("controlnet_stack", "base_positive", "base_negative"),
}


def chains(view: View) -> Iterator[Chain]:
    """Every chain of such lists in the graph, with the node that applies it."""
    pieces = [one for one in view.pieces.values() if one.type in _BEFORE and one.mode != MUTED]
    for nodes in chains_in(pieces, lambda piece: _before(view, piece)):
        yield _chain(view, nodes)


def _before(view: View, piece: Piece) -> Piece | None:
    name = _BEFORE[piece.type]
    port = view.source(piece, name)
    before = view.pieces.get(port.node) if port is not None else None
    if port is None or before is None or before.type not in _BEFORE or before.mode == MUTED:
        return None
    return before if port.slot == 0 and view.uses(port) == [Use(piece.id, name)] else None


def _chain(view: View, nodes: list[Piece]) -> Chain:
    chain = Chain([piece.id for piece in nodes], [])
    for piece in nodes:
        _add(view, chain, piece)
    first, last = nodes[0], nodes[-1]
    before = first.wires.get(_BEFORE[first.type])
    if before is not None:
        chain.wires["stack"] = before
    uses = view.uses(Port(last.id, 0))
    applied = [use for use in uses if _applies(view, use)]
    if len(applied) == 1:
        _lay(view, chain, view.pieces[applied[0].node])
    chain.moved[Port(last.id, 0)] = LIST_OUT
    for use in uses:
        user = view.pieces.get(use.node)
        if user is not None and user.type in _OURS:
            chain.rewired[use] = STACK_OUT
        elif last.type == EASY_STACK and use not in applied:
            label = "an output of the subgraph" if user is None else user.label
            chain.problems.append(
                f"{last.label}: it goes into {label}, which takes Easy-Use's own form of list"
            )
    return chain


def _applies(view: View, use: Use) -> bool:
    piece = view.pieces.get(use.node)
    return (
        piece is not None
        and piece.type in APPLIES
        and piece.mode == 0
        and use.name == APPLIES[piece.type].stack
    )


def _lay(view: View, chain: Chain, piece: Piece) -> None:
    """Put the chain on the prompts of the node that applied it, unless that cannot be told."""
    sockets = APPLIES[piece.type]
    wrong = problems_of(view, piece, (sockets.positive, sockets.negative))
    if view.slots(piece.id) - {0, 1}:
        wrong.append(f"{piece.label}: its output show_help is used")
    chain.problems += wrong
    if wrong:
        return
    if piece.fields.get("switch") == "Off":
        chain.lines = [replace(line, on=False) for line in chain.lines]
    chain.nodes.append(piece.id)
    chain.wires["positive"] = piece.wires[sockets.positive]
    chain.wires["negative"] = piece.wires[sockets.negative]
    chain.moved |= {Port(piece.id, 0): POSITIVE, Port(piece.id, 1): NEGATIVE}


def _add(view: View, chain: Chain, piece: Piece) -> None:
    if view.slots(piece.id) - {0}:
        chain.problems.append(f"{piece.label}: its output show_help is used")
    if piece.type == STACKER:
        chain.problems += problems_of(view, piece, ("control_net", "image"))
        settings, wrong = ranged(piece, PLAIN)
        chain.problems += wrong
        wires = {"hint": piece.wires["image"]} if "image" in piece.wires else {}
        net = piece.wires.get("control_net")
        chain.lines.append(Line(piece.mode != BYPASSED, settings, net, wires=wires))
        return
    chain.problems += problems_of(view, piece)
    make = _comfyroll if piece.type == CR_STACK else _easy
    for number in (1, 2, 3):
        line, wrong = make(piece, number)
        if line is not None:
            chain.lines.append(line)
            chain.problems += wrong


def _comfyroll(piece: Piece, number: int) -> tuple[Line | None, list[str]]:
    names = {
        "strength": f"controlnet_strength_{number}",
        "start": f"start_percent_{number}",
        "end": f"end_percent_{number}",
    }
    hint = piece.wires.get(f"image_{number}")
    # It passes over what has no picture.
    on = piece.fields.get(f"switch_{number}") == "On" and hint is not None
    return _named(piece, number, on, names, hint)


def _easy(piece: Piece, number: int) -> tuple[Line | None, list[str]]:
    count = piece.fields.get("num_controlnet")
    if not isinstance(count, int) or number > count:
        return None, []
    names = {"strength": f"controlnet_{number}_strength"}
    if piece.fields.get("mode") == "advanced":
        names |= {"start": f"start_percent_{number}", "end": f"end_percent_{number}"}
    on = piece.fields.get("toggle") not in (False, "False")
    line, wrong = _named(piece, number, on, names, piece.wires.get(f"image_{number}"))
    soft = piece.fields.get(f"scale_soft_weight_{number}")
    if on and soft != 1:
        wrong.append(f"{piece.label}: scale_soft_weight_{number} has no equal in a row")
    if on and f"image_{number}" not in piece.wires:
        wrong.append(f"{piece.label}: nothing is wired to its image_{number}")
    return line, wrong


def _named(
    piece: Piece, number: int, on: bool, names: dict[str, str], hint: Port | None
) -> tuple[Line | None, list[str]]:
    """A row for a file that the node names; None where it names none."""
    file = piece.fields.get(f"controlnet_{number}")
    if not isinstance(file, str) or file in ("", "None"):
        return None, []
    settings, wrong = ranged(piece, names)
    on = on and piece.mode != BYPASSED
    if not on and wrong:  # nothing acts
        settings, wrong = {"strength": 1.0, "start": 0.0, "end": 1.0}, []
    return Line(on, settings, file=file, wires={} if hint is None else {"hint": hint}), wrong
