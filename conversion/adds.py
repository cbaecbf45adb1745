"""Our own chains: Add ControlNet, and the Apply node behind them."""

from __future__ import annotations

from collections.abc import Iterator

from ..ground.structured import Json
from .chain import PLAIN, Chain, Line, chains_in, problems_of, ranged
from .known import ADD, APPLY, APPLY_CONDITIONING, FIELDS
from .lists import STACK_OUT
from .prompts import NEGATIVE, POSITIVE
from .view import BYPASSED, MUTED, Piece, Port, Use, View

MODEL = 0
"""An output of ControlNet Stack."""

_SETTINGS = ("mode", "area_hint", "frames", "union_type")
_SOCKETS = {"hint": "image", "mask": "mask", "factor": "factor"}
_SOCKETS |= {"inpaint_mask": "inpaint_mask", "inpaint_image": "inpaint_image"}


def chains(view: View) -> Iterator[Chain]:
    """Every chain of Add ControlNet in the graph, with the Apply node behind it if there is one."""
    pieces = [one for one in view.pieces.values() if one.type == ADD and one.mode != MUTED]
    for nodes in chains_in(pieces, lambda piece: _before(view, piece)):
        yield _chain(view, nodes)


def _before(view: View, piece: Piece) -> Piece | None:
    port = view.source(piece, "stack")
    before = view.pieces.get(port.node) if port is not None else None
    if port is None or before is None or before.type != ADD or before.mode == MUTED:
        return None
    return before if view.uses(port) == [Use(piece.id, "stack")] else None


def _chain(view: View, nodes: list[Piece]) -> Chain:
    chain = Chain([piece.id for piece in nodes], [])
    for piece in nodes:
        _add(view, chain, piece)
    first, last = nodes[0], nodes[-1]
    if "stack" in first.wires:
        chain.wires["stack"] = first.wires["stack"]
    applied = [
        view.pieces[use.node]
        for use in view.uses(Port(last.id, 0))
        if use.node in view.pieces
        and view.pieces[use.node].type in (APPLY, APPLY_CONDITIONING)
        and view.pieces[use.node].mode == 0
    ]
    chain.moved[Port(last.id, 0)] = STACK_OUT
    if len(applied) == 1:
        _lay(view, chain, applied[0])
    return chain


def _lay(view: View, chain: Chain, piece: Piece) -> None:
    """Take the Apply node in, unless it holds what the stack cannot have; then it stays."""
    sockets = ("model",) if piece.type == APPLY else ("positive",)
    vaes = {line.vae for line in chain.lines} - {None}
    if problems_of(view, piece, sockets) or ("vae" in piece.wires and vaes):
        return
    if "negative" not in piece.wires and 1 in view.slots(piece.id):
        return
    if piece.type == APPLY:
        chain.wires["model"] = piece.wires["model"]
        chain.moved[Port(piece.id, 0)] = MODEL
        chain.record = piece.fields.get("record") is True
    else:
        for name in ("positive", "negative", "vae"):
            if name in piece.wires:
                chain.wires[name] = piece.wires[name]
        chain.moved[Port(piece.id, 0)] = POSITIVE
        if "negative" in piece.wires:
            chain.moved[Port(piece.id, 1)] = NEGATIVE
    chain.nodes.append(piece.id)


def _add(view: View, chain: Chain, piece: Piece) -> None:
    on = piece.mode != BYPASSED and piece.fields.get("enabled") is not False
    chain.problems += problems_of(view, piece, ("control_net", "image") if on else ())
    settings, wrong = ranged(piece, PLAIN)
    chain.problems += wrong
    further: dict[str, Json] = {
        name: value for name in _SETTINGS if (value := piece.fields.get(name)) != FIELDS[ADD][name]
    }
    chain.lines.append(
        Line(
            on=on,
            settings={**settings, **further},
            net=piece.wires.get("control_net"),
            wires={new: piece.wires[old] for new, old in _SOCKETS.items() if old in piece.wires},
            vae=piece.wires.get("vae"),
        )
    )
