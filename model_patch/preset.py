"""A stack's settings as a small JSON text: without weights, and without pictures (hints, masks)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.reading import read_text
from ..ground.structured import Json, JsonObject, read_json
from ..ground.wording import listing, shown
from .blocks import Blocks, LogSpace, RelativeResolution, Resolution, SoftWeights
from .control import Control, ControlStack
from .curve import Curve
from .factors import Factor, Sides, Span, StepSpan, Strength
from .frames import FrameStrengths
from .mask import Mask
from .speed import EXACT

KEY = "controlstack_preset"
VERSION = 1
MAX_FILE = 1 << 20
"""The largest file of a preset that is read, in bytes."""

KINDS: dict[str, type[Factor]] = {
    "strength": Strength,
    "percents": Span,
    "steps": StepSpan,
    "curve": Curve,
    "frames": FrameStrengths,
    "blocks": Blocks,
    "soft weights": SoftWeights,
    "logspace": LogSpace,
    "resolution": RelativeResolution,
    "paper resolution": Resolution,
    "sides": Sides,
}
"""What a factor is called in a preset; its fields are those of its class. Masks are pictures."""

_SETTINGS: dict[str, Any] = {
    "strength": float,
    "start_percent": float,
    "end_percent": float,
    "mode": str,
    "area_hint": str,
    "frames": str,
    "union_types": tuple[str, ...],
    "enabled": bool,
    "speed": str,
}
"""A line's own fields beside its name and its factors, and what each has to be."""

_WORDS: dict[Any, str] = {float: "a number", int: "a whole number", str: "a text"}
_WORDS |= {bool: "true or false"}


@dataclass(frozen=True)
class Line:
    """What a preset says of one control.

    Args:
        name: the net's file; "" leaves it to the line's number.
        settings: strength, start_percent, end_percent, mode, area_hint, frames, union_types,
            enabled, speed, and factors, a tuple of `Factor`. What is not there stays as it is.
    """

    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def lines_of(stack: ControlStack) -> tuple[Line, ...]:
    """The settings of a stack. Raises UserError for a factor that no preset knows."""
    return tuple(_line_of(control) for control in stack)


def written(lines: Sequence[Line]) -> str:
    """The JSON text, a line for each control."""
    made = [json.dumps(_json_of(line), ensure_ascii=False, allow_nan=False) for line in lines]
    inner = "\n  " + ",\n  ".join(made) + "\n" if made else ""
    return f'{{"{KEY}": {VERSION}, "controls": [{inner}]}}\n'


def read(text: str, source: str = "the preset") -> tuple[Line, ...]:
    """What `text` says, all of it checked; errors call it `source`.

    Raises:
        UserError: text that is no preset, a newer version, and fields, kinds and values that there
            are not; names the line and the field.
    """
    document = _object(read_json(text.removeprefix("\ufeff"), source, "preset"), source)
    version = document.pop(KEY, None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(
            f'{source} is no preset: it lacks "{KEY}": {VERSION}; give what Control Preset or Save '
            "Control Preset made"
        )
    if version > VERSION:
        raise UserError(
            f"{source} is a preset of version {shown(version)}, and this ControlStack reads "
            f"version {VERSION}: update ControlStack, or save the preset with this one"
        )
    controls = document.pop("controls", None)
    _require_none_left(document, (KEY, "controls"), source)
    if not isinstance(controls, list):
        raise UserError(f"{source}: controls is {shown(controls)}, but has to be a list")
    return tuple(_line(item, source, number) for number, item in enumerate(controls, 1))


def read_file(path: Path) -> tuple[Line, ...]:
    """The preset in a file. Raises UserError as `read` does, and where it cannot be read."""
    return read(read_text(path, "the preset", MAX_FILE, pipes=True), str(path))


def applied(lines: Sequence[Line], stack: ControlStack) -> ControlStack:
    """`stack` with the settings of a preset.

    A line goes to the control of its name, where that stands once in both; the others go to those
    that are left, in order. Controls that no line is for stay as they are. The log says both. Masks
    are pictures: they stay. A control that is off at its Add ControlNet has no net, and stays off.

    Raises:
        UserError: more lines than the stack has controls.
    """
    changed = list(stack)
    numbers = _targets(lines, stack)
    for number, line in zip(numbers, lines, strict=True):
        changed[number] = _changed(stack[number], line)
        if line.settings.get("enabled") and not changed[number].enabled:
            log.warning(
                "%s stays off, though the preset has it on: switch it on at its Add ControlNet",
                stack[number].name,
            )
    if kept := [control.name for i, control in enumerate(stack) if i not in numbers]:
        log.info("The preset says nothing of %s: as it was.", listing(kept))
    return tuple(changed)


def _targets(lines: Sequence[Line], stack: ControlStack) -> list[int]:
    """The number in the stack, from 0, of the control that each line is for."""
    asked = [_slashed(line.name) for line in lines]
    there = [_slashed(_name_of(control)) for control in stack]
    if len(lines) > len(stack):
        raise UserError(
            f"the preset is for {len(lines)} controls ({listing(asked)}), and the stack has "
            f"{len(stack)} ({listing(there)}): add the others, or take their lines out of the "
            "preset."
        )
    found = {
        line: there.index(name)
        for line, name in enumerate(asked)
        if asked.count(name) == there.count(name) == 1
    }
    free = iter(number for number in range(len(stack)) if number not in found.values())
    for line, name in enumerate(asked):
        if line not in found:
            found[line] = next(free)
            if name not in ("", there[found[line]]):
                log.warning("The preset's line for %s goes to %s.", name, there[found[line]])
    return [found[line] for line in range(len(lines))]


def _name_of(control: Control) -> str:
    return control.file or control.name


def _slashed(name: str) -> str:
    """Windows writes a file's folders with \\."""
    return name.replace("\\", "/")


def _changed(control: Control, line: Line) -> Control:
    told = dict(line.settings)
    ends = {end: told.pop(f"{end}_percent") for end in ("start", "end") if f"{end}_percent" in told}
    if ends:
        old = control.span if isinstance(control.span, Span) else Span()
        told["span"] = replace(old, **ends)
    if "factors" in told:
        masks = tuple(factor for factor in control.also if isinstance(factor, Mask))
        told["also"] = (*told.pop("factors"), *masks)
    net: Any = control.net
    if told.get("enabled") and net is None:
        told["enabled"] = False
    return replace(control, **told)


def _line_of(control: Control) -> Line:
    span, factors = control.span, control.also
    if not isinstance(span, Span):
        span, factors = Span(), (span, *factors)
    kept = tuple(factor for factor in factors if not isinstance(factor, Mask))
    for factor in kept:
        if type(factor) not in KINDS.values():
            raise UserError(
                f"{control.name}: a factor of the kind {type(factor).__name__} cannot be kept in a "
                "preset."
            )
    settings = {
        "strength": control.strength,
        "start_percent": span.start,
        "end_percent": span.end,
        "mode": control.mode,
        "area_hint": control.area_hint,
        "frames": control.frames,
        "union_types": control.union_types,
        "enabled": control.enabled,
        **({} if control.speed == EXACT else {"speed": control.speed}),  # older ones know none
        "factors": kept,
    }
    return Line(_name_of(control), settings)


def _json_of(line: Line) -> JsonObject:
    settings = dict(line.settings)
    if "factors" in settings:
        settings["factors"] = [_json_of_factor(factor) for factor in settings["factors"]]
    return {"name": line.name, **settings}


def _json_of_factor(factor: Factor) -> JsonObject:
    kind = next(name for name, kind in KINDS.items() if type(factor) is kind)
    return {"kind": kind, **{one.name: getattr(factor, one.name) for one in _fields(type(factor))}}


def _line(item: Json, source: str, number: int) -> Line:
    where = f"{source}, line {number}"
    told = _object(item, where)
    name = _read(str, told.pop("name", ""), f"{where}: name")
    where = f"{where} ({name})" if name else where
    factors = told.pop("factors", None)
    _require_none_left(set(told) - set(_SETTINGS), ("name", *_SETTINGS, "factors"), where)
    settings = {key: _read(_SETTINGS[key], value, f"{where}: {key}") for key, value in told.items()}
    if factors is not None:
        listed = enumerate(_read(list, factors, f"{where}: factors"), 1)
        settings["factors"] = tuple(_factor(one, f"{where}, factor {n}") for n, one in listed)
    line = Line(name, settings)
    try:
        _changed(Control(net=_NO_NET, hint=_NO_HINT, name=where, enabled=False), line)
    except UserError as error:
        raise error if error.sentence.startswith(where) else error.at(where) from error
    return line


def _factor(item: Json, where: str) -> Factor:
    told = _object(item, where)
    kind = told.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"{where}: kind is {shown(kind)}; choose one of {listing(KINDS)}")
    where = f"{where} ({kind})"
    made, types = KINDS[kind], get_type_hints(KINDS[kind])
    names = [one.name for one in _fields(made)]
    _require_none_left(set(told) - set(names), ("kind", *names), where)
    for one in _fields(made):
        if one.name not in told and one.default is MISSING:
            raise UserError(f"{where} lacks {one.name}")
    values = {key: _read(types[key], value, f"{where}: {key}") for key, value in told.items()}
    try:
        return made(**values)
    except UserError as error:
        raise error.at(where) from error


def _read(kind: Any, value: Json, where: str) -> Any:
    """`value` as the type `kind` of a field. Raises UserError, beginning with `where`."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise UserError(f"{where} is {shown(value)}; choose {' or '.join(get_args(kind))}")
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind), value, where)
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where} is {shown(value)}, but has to be {_WORDS.get(kind, 'a list')}")
    return _number(value, where) if kind is float else value


def _read_tuple(kinds: tuple[Any, ...], value: Json, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UserError(f"{where} is {shown(value)}, but has to be a list")
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], one, f"{where}, item {i}") for i, one in enumerate(value, 1))
    if len(value) != len(kinds):
        raise UserError(f"{where} is {shown(value)}, but has to be a list of {len(kinds)}")
    return tuple(_read(kind, one, where) for kind, one in zip(kinds, value, strict=True))


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise UserError(f"{where} is {shown(value)}, which is too large") from error


def _fields(kind: Any) -> tuple[Field[Any], ...]:
    return fields(kind)


def _object(value: Json, where: str) -> JsonObject:
    if not isinstance(value, dict):
        raise UserError(f"{where} is {shown(value)}, but has to be an object")
    return dict(value)


def _require_none_left(left: Any, known: Sequence[str], where: str) -> None:
    for name in sorted(left):
        raise UserError(f"{where} has no field {shown(name)}; it has {listing(known)}")


_NO_NET: Any = None
_NO_HINT = torch.zeros(1, 3, 1, 1)
