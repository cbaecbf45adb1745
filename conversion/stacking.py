"""Chains -> ControlNet Stack nodes, as a change of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from ..ground.structured import Json, JsonObject
from .chain import Chain, Line
from .curve_text import points_of
from .known import BLOCKS, CORE_UNION, CURVE, EMPTY_ROWS, LOADERS, MOST_ROWS, ROWS, SIDES
from .lists import STACK_OUT
from .view import Change, New, Piece, Port, View, without_loose_ends

_WHERE = {CORE_UNION: "control_net", CURVE: "factor", SIDES: "factor", BLOCKS: "factor"}
"""Nodes whose only work is a setting of the row, and the socket that they go on at."""


def stacked(view: View, chains: Sequence[Chain]) -> tuple[Change, list[str]]:
    """The change that puts a ControlNet Stack in place of each chain, more than one where its rows
    are too many or have different VAEs; and the key of each chain's last one.
    """
    gone = _dissolved(view, chains)
    change, keys = Change(), list[str]()
    for number, chain in enumerate(chains):
        keys.append(_put(view, chain, f"@{number}", gone, change))
    change.removed |= {node for chain in chains for node in chain.nodes} | gone
    without_loose_ends(view, change)
    return change, keys


@dataclass(frozen=True)
class _Read:
    """What a row takes in from the nodes before it."""

    row: JsonObject
    wires: Mapping[str, Port]


def _put(view: View, chain: Chain, key: str, gone: Set[str], change: Change) -> str:
    parts = _parts(chain.lines)
    before = chain.wires.get("stack")
    for index, lines in enumerate(parts):
        last = index == len(parts) - 1
        name = key if last else f"{key}.{index}"
        wires: dict[str, Port] = {} if before is None else {"stack": before}
        if last:
            wires |= {k: port for k, port in chain.wires.items() if k != "stack"}
        vae = next((line.vae for line in lines if line.vae is not None), None)
        if vae is not None:
            wires["vae"] = vae
        rows: list[Json] = []
        for number, line in enumerate(lines, start=1):
            read = _row(view, line, number, gone)
            rows.append(read.row)
            wires |= read.wires
        fields: JsonObject = {
            "controls": {**EMPTY_ROWS, "rows": rows},
            "record": chain.record and last,
        }
        near = chain.nodes[-1]
        change.new.append(
            New(name, ROWS, fields, wires, near, (-460 * (len(parts) - 1 - index), 0))
        )
        before = Port(name, STACK_OUT)
    change.moved |= {old: Port(key, slot) for old, slot in chain.moved.items()}
    change.rewired |= {use: Port(key, slot) for use, slot in chain.rewired.items()}
    return key


def _parts(lines: Sequence[Line]) -> list[list[Line]]:
    """In pieces of at most `MOST_ROWS` rows, each with one VAE."""
    parts: list[list[Line]] = [[]]
    for line in lines:
        vaes = {one.vae for one in (*parts[-1], line)} - {None}
        if len(parts[-1]) == MOST_ROWS or len(vaes) > 1:
            parts.append([])
        parts[-1].append(line)
    return parts


def _row(view: View, line: Line, number: int, gone: Set[str]) -> _Read:
    settings: JsonObject = dict(line.settings)
    file, net = line.file, line.net
    if file is None:
        file, net = _net(view, net, settings, gone)
    factor = _factor(view, line.wires.get("factor"), settings, gone)
    wires = {name: port for name, port in line.wires.items() if name != "factor"}
    if factor is not None:
        wires["factor"] = factor
    row: JsonObject = {"id": number, "on": line.on, "file": file, **settings, "open": False}
    row["sockets"] = [name for name in wires if name != "hint"]
    if net is not None:
        wires["control_net"] = net
    return _Read(row, {f"{name}_{number}": port for name, port in wires.items()})


def _net(
    view: View, port: Port | None, settings: JsonObject, gone: Set[str]
) -> tuple[str | None, Port | None]:
    """The file of a net, or where it is wired from; a union net's type goes into the row."""
    while port is not None and port.node in gone:
        piece = view.pieces[port.node]
        if piece.type in LOADERS:
            return str(piece.fields["control_net_name"]), None
        if piece.type != CORE_UNION:
            break
        kind = piece.fields.get("type")
        if kind != "auto":
            settings.setdefault("union_type", kind)
        port = piece.wires.get("control_net")
    return None, port


def _factor(view: View, port: Port | None, settings: JsonObject, gone: Set[str]) -> Port | None:
    """The factors that a row has itself, and where the others are wired from."""
    for kind in (BLOCKS, SIDES, CURVE):
        piece = view.pieces.get(port.node) if port is not None else None
        if piece is None or piece.type != kind or piece.id not in gone:
            continue
        if kind == BLOCKS:
            rule = piece.fields["rule"]
            settings["blocks"] = piece.fields["weights"] if rule == "weights" else rule
        elif kind == SIDES:
            settings["sides"] = {name: piece.fields[name] for name in ("cond", "uncond")}
        else:
            points: list[Json] = [list(pair) for pair in points_of(piece.fields["points"]) or ()]
            settings["curve"] = {"points": points, "between": piece.fields["between"]}
        port = piece.wires.get("factor")
    return port


def _dissolved(view: View, chains: Sequence[Chain]) -> set[str]:
    """The loaders and the like whose work the rows take over, since nothing else uses them."""
    nodes = {node for chain in chains for node in chain.nodes}
    found = set[str]()
    more = True
    while more:
        more = False
        for piece in view.pieces.values():
            users = view.users(piece.id)
            if piece.id in found or not users or not _is_plain(piece):
                continue
            if users <= nodes | found and all(_fits(view, piece, one) for one in users):
                found.add(piece.id)
                more = True
    return found


def _is_plain(piece: Piece) -> bool:
    """Whether all that a node does can stand in a row."""
    if piece.mode != 0 or piece.shown:
        return False
    if piece.type in LOADERS:
        return "control_net_name" not in piece.wires
    if piece.type not in _WHERE or set(piece.wires) - {_WHERE[piece.type]}:
        return False
    fields = piece.fields
    if piece.type == CORE_UNION:
        return isinstance(fields.get("type"), str)
    if piece.type == CURVE:
        if fields["preset"] != "points" or fields["over"] != "percent":
            return False
        points = points_of(fields["points"])
        return points is not None and all(0 <= at <= 1 and 0 <= by <= 10 for at, by in points)
    if piece.type == BLOCKS and fields["rule"] == "weights":
        return str(fields["weights"]).strip() != ""
    return True


_ORDER = (CURVE, SIDES, BLOCKS)
"""In which a row's factors act (`nodes/rows.py`); the last is nearest to Add ControlNet."""


def _fits(view: View, piece: Piece, user: str) -> bool:
    """Whether a row can hold this before `user`: factors in the row's order, a net's type once."""
    after = view.pieces.get(user)
    if after is None:
        return False
    if piece.type in _ORDER and after.type in _ORDER:
        return _ORDER.index(piece.type) < _ORDER.index(after.type)
    if piece.type == CORE_UNION:
        return after.type != CORE_UNION and after.fields.get("union_type", "auto") == "auto"
    if piece.type in _ORDER:
        return after.type == "ControlStackAdd"
    return True
