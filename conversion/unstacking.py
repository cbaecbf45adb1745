"""A ControlNet Stack -> Add ControlNet nodes with an Apply, or ComfyUI's own apply nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ground.errors import UserError
from ..ground.structured import Json, JsonObject
from ..ground.wording import listing, shown
from .curve_text import text_of
from .known import (
    ADD,
    APPLY,
    APPLY_CONDITIONING,
    BLOCKS,
    CORE_APPLY,
    CORE_LOADER,
    CORE_UNION,
    CURVE,
    FIELDS,
    LOADER,
    ROW_SOCKETS,
    SIDES,
    UNION_TYPES,
)
from .view import BYPASSED, Change, New, Piece, Port, View

MODEL, STACK, POSITIVE, NEGATIVE, LIST = range(5)
"""The outputs of ControlNet Stack."""

_RULES = ("soft weights", "logspace", "resolution")
_ADD_SETTINGS = ("mode", "area_hint", "frames", "union_type")
_STEP = 340
_ROW_HEIGHT = 480


@dataclass
class _Made:
    """The change so far, and the loader of each file."""

    piece: Piece
    prefix: str
    change: Change
    loaders: dict[str, Port] = field(default_factory=dict)

    def node(
        self, name: str, kind: str, fields: JsonObject, wires: Mapping[str, Port], x: int, y: int,
        mode: int = 0,
    ) -> str:  # fmt: skip
        """Add a node; its key."""
        key = f"{self.prefix}{name}"
        self.change.new.append(
            New(key, kind, {**FIELDS.get(kind, {}), **fields}, wires, self.piece.id, (x, y), mode)
        )
        return key

    def loaded(self, file: str, kind: str, y: int) -> Port:
        """The output of the file's loader, which all its rows share."""
        if file not in self.loaders:
            name = f"loader{len(self.loaders)}"
            key = self.node(name, kind, {"control_net_name": file}, {}, -2 * _STEP, y)
            self.loaders[file] = Port(key, 0)
        return self.loaders[file]


def to_nodes(view: View, piece: Piece, prefix: str, drawn: bool) -> tuple[Change, list[str]]:
    """Add ControlNet nodes and an Apply in the stack's place, and what is to be said of it.

    `drawn`: nodes can be bypassed. Raises UserError for what they cannot do.
    """
    rows = _rows_of(piece)
    if LIST in view.slots(piece.id):
        raise UserError(
            f"{piece.label}: its output control_net_stack is used, and Add ControlNet has none; "
            "wire stack instead"
        )
    made, said = _Made(piece, prefix, Change(removed={piece.id})), list[str]()
    before = piece.wires.get("stack")
    vae = piece.wires.get("vae")
    for index, row in enumerate(rows):
        wires, y = _wires(piece, row), index * _ROW_HEIGHT
        on = row.get("on", True) is not False
        whole = "hint" in wires and (row.get("file") is not None or "control_net" in wires)
        if not (on or whole or drawn):  # Add ControlNet cannot run without them
            said.append(f"row {index + 1}, which is off and lacks a hint or a net, is left out")
            continue
        net = wires.pop("control_net", None)
        file = row.get("file")
        if file is not None:
            net = made.loaded(str(file), LOADER, y)
        factor = _factors(made, row, wires.pop("factor", None), index, y)
        sockets = {"image": wires.pop("hint", None), "control_net": net, **wires}
        sockets |= {"factor": factor, "vae": vae, "stack": before}
        fields: JsonObject = {name: row[name] for name in _ADD_SETTINGS if name in row}
        fields |= {name: row.get(old, FIELDS[ADD][name]) for name, old in _RANGE.items()}
        fields["enabled"] = on
        key = made.node(
            f"add{index}", ADD, fields, {k: v for k, v in sockets.items() if v is not None},
            0, y, 0 if on or whole else BYPASSED,
        )  # fmt: skip
        before = Port(key, 0)
    _apply(view, made, before, vae)
    return made.change, said


_RANGE = {"strength": "strength", "start_percent": "start", "end_percent": "end"}


def to_core(view: View, piece: Piece, prefix: str, drawn: bool) -> tuple[Change, list[str]]:
    """ComfyUI's Apply ControlNet nodes in the stack's place, and what is to be said of it.

    Raises UserError that lists what they lack.
    """
    rows = _rows_of(piece)
    lacking = _lacking(view, piece, rows)
    if lacking:
        raise UserError(
            f"{piece.label}: ComfyUI's Apply ControlNet has nothing for {listing(lacking)}; "
            "nothing is changed"
        )
    made, said = _Made(piece, prefix, Change(removed={piece.id})), list[str]()
    prompts = {name: piece.wires[name] for name in ("positive", "negative")}
    for index, row in enumerate(rows):
        on = row.get("on", True) is not False
        if not on and not drawn:
            said.append(f"row {index + 1}, which is off, is left out")
            continue
        wires, y = _wires(piece, row), index * 240
        net, file = wires.get("control_net"), row.get("file")
        if file is not None:
            net = made.loaded(str(file), CORE_LOADER, y)
        union = row.get("union_type", "auto")
        if union != "auto" and net is not None:
            key = made.node(
                f"union{index}", CORE_UNION, {"type": union}, {"control_net": net}, -_STEP, y
            )
            net = Port(key, 0)
        sockets = {**prompts, "control_net": net, "image": wires.get("hint")}
        sockets["vae"] = piece.wires.get("vae")
        key = made.node(
            f"apply{index}",
            CORE_APPLY,
            {name: row.get(old, FIELDS[CORE_APPLY][name]) for name, old in _RANGE.items()},
            {k: v for k, v in sockets.items() if v is not None},
            0,
            y,
            0 if on else BYPASSED,
        )
        prompts = {"positive": Port(key, 0), "negative": Port(key, 1)}
    made.change.moved = {
        Port(piece.id, POSITIVE): prompts["positive"],
        Port(piece.id, NEGATIVE): prompts["negative"],
    }
    return made.change, said


def _lacking(view: View, piece: Piece, rows: list[Any]) -> list[str]:
    """What a stack has and ComfyUI's chain has not."""
    found = [f"its {name} input" for name in ("model", "stack") if name in piece.wires]
    used = view.slots(piece.id)
    found += [f"its {n} output" for slot, n in ((STACK, "stack"), (LIST, "list")) if slot in used]
    if "model" not in piece.wires:
        found += [
            f"a stack without a {name} prompt"
            for name in ("positive", "negative")
            if name not in piece.wires
        ]
    if piece.fields.get("record") is True:
        found.append("record")
    for number, row in enumerate(rows, start=1):
        wires = _wires(piece, row)
        names = [name for name in wires if name not in ("hint", "control_net")]
        for name in ("mode", "area_hint", "frames"):
            if row.get(name, FIELDS[ADD][name]) != FIELDS[ADD][name]:
                names.append(f"{name} {row[name]}")
        names += [name for name in ("curve", "sides", "blocks") if row.get(name)]
        union = row.get("union_type", "auto")
        if union not in ("auto", *UNION_TYPES):
            names.append(f"union_type {union}")
        found += [f"{name} of row {number}" for name in names]
    return found


def _rows_of(piece: Piece) -> list[Any]:
    """The rows of a node that acts; UserError for what cannot be read."""
    if piece.mode != 0:
        raise UserError(f"{piece.label} is muted or bypassed; wake it before it is converted")
    for name in FIELDS[piece.type]:
        if name in piece.wires or name in piece.shown:
            raise UserError(f"{piece.label}: its {name} comes from elsewhere, and cannot be read")
    value = piece.fields.get("controls")
    rows = value.get("rows") if isinstance(value, dict) else None
    version = value.get("version", 1) if isinstance(value, dict) else None
    if version != 1 or not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise UserError(
            f"{piece.label}: its rows are {shown(value)}, which is not of version 1; update "
            "ControlStack"
        )
    return [_read(piece, row, number) for number, row in enumerate(rows, start=1)]


def _read(piece: Piece, row: Any, number: int) -> JsonObject:
    """A row without what is null, which stands for its default.

    Raises UserError for a curve that is none: nodes have it as a text. Other values go as they are.
    """
    curve = row.get("curve")
    if curve is not None:
        points = curve.get("points") if isinstance(curve, dict) else None
        if not isinstance(points, list) or not all(_is_point(one) for one in points):
            raise UserError(
                f"{piece.label}: the curve of row {number} is {shown(curve)}; it has to be "
                '{"points": [[place, strength], ...]}'
            )
    return {"id": number, **{name: value for name, value in row.items() if value is not None}}


def _is_point(value: Json) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(one, (int, float)) and abs(one) < 1e6 for one in value)
    )


def _wires(piece: Piece, row: JsonObject) -> dict[str, Port]:
    """What is wired to a row's own sockets; no net beside a file."""
    found = {
        name: piece.wires[socket]
        for name in ROW_SOCKETS
        if (socket := f"{name}_{row['id']}") in piece.wires
    }
    if row.get("file") is not None:
        found.pop("control_net", None)
    return found


def _factors(made: _Made, row: JsonObject, before: Port | None, index: int, y: int) -> Port | None:
    """Factor nodes for what the row has itself, behind those that are wired to it."""
    nodes: list[tuple[str, JsonObject]] = []
    curve, sides, blocks = row.get("curve"), row.get("sides"), row.get("blocks")
    if isinstance(curve, dict):
        points: Any = curve.get("points")
        nodes.append(
            (
                CURVE,
                {
                    "preset": "points",
                    "points": text_of((one[0], one[1]) for one in points),
                    "between": curve.get("between", "linear"),
                    "over": "percent",
                },
            )
        )
    if isinstance(sides, dict):
        nodes.append((SIDES, {name: sides.get(name, 1.0) for name in ("cond", "uncond")}))
    if isinstance(blocks, str) and blocks.strip():
        is_rule = blocks in _RULES
        weights = {"rule": blocks} if is_rule else {"rule": "weights", "weights": blocks}
        nodes.append((BLOCKS, dict(weights)))
    for number, (kind, fields) in enumerate(nodes):
        wires = {} if before is None else {"factor": before}
        key = made.node(
            f"factor{index}.{number}", kind, fields, wires, -_STEP, y + 120 + 200 * number
        )
        before = Port(key, 0)
    return before


def _apply(view: View, made: _Made, stack: Port | None, vae: Port | None) -> None:
    """The Apply node, where the stack was put on something; and where its outputs come from now."""
    piece = made.piece
    wires = {} if stack is None else {"stack": stack}
    moved = made.change.moved
    if stack is not None:
        moved[Port(piece.id, STACK)] = stack
    if "model" in piece.wires:
        fields: JsonObject = {"record": piece.fields.get("record") is True}
        key = made.node("apply", APPLY, fields, {"model": piece.wires["model"], **wires}, _STEP, 0)
        moved[Port(piece.id, MODEL)] = Port(key, 0)
    elif "positive" in piece.wires:
        prompts = {n: piece.wires[n] for n in ("positive", "negative") if n in piece.wires}
        # The stack's own VAE is for the controls before it as well.
        further = {"vae": vae} if vae is not None and "stack" in piece.wires else {}
        key = made.node("apply", APPLY_CONDITIONING, {}, {**prompts, **wires, **further}, _STEP, 0)
        moved[Port(piece.id, POSITIVE)] = Port(key, 0)
        moved[Port(piece.id, NEGATIVE)] = Port(key, 1)
    elif "negative" in piece.wires:
        raise UserError(f"{piece.label}: it acts on a negative prompt alone; wire the prompt too")
