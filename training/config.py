"""Settings of a run from a TOML file and from flags, and back into a file."""

from __future__ import annotations

import difflib
import json
import math
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from ..ground.errors import UserError
from ..ground.parameters import Parameter, Value, parameters
from ..ground.reading import read_text
from ..ground.structured import read_toml
from ..ground.wording import shown
from .settings import SECTIONS, RunSettings

Given: TypeAlias = Mapping[str, Mapping[str, Value]]
"""Section -> setting -> value, for those that were given."""

WIDTH = 96
"""Letters of a line of comment."""


def read_config(path: Path) -> Given:
    """The settings in a TOML file, each known, of its type and in range.

    Raises UserError, naming the file and the setting, for what is not, and for a file that is no
    TOML.
    """
    tables = read_toml(read_text(path, "the settings", pipes=True), str(path))
    given: dict[str, dict[str, Value]] = {}
    for section, table in tables.items():
        if section not in SECTIONS:
            name = _cut(section)
            what = f"section [{name}]" if isinstance(table, dict) else f"section for {name}"
            raise UserError(f"{path}: there is no {what}; {_nearest(section, SECTIONS)}.")
        if not isinstance(table, dict):
            raise UserError(f"{path}: {section} is a section; write [{section}] on its own line.")
        known = {parameter.name: parameter for parameter in parameters(SECTIONS[section])}
        where = f"{path}: [{section}]"
        for name in table:
            if name not in known:
                raise UserError(f"{where} has no setting {_cut(name)}; {_nearest(name, known)}.")
        given[section] = {
            name: known[name].checked(_typed(value, known[name], where), where)
            for name, value in table.items()
        }
    return given


def run_settings(*given: Given) -> RunSettings:
    """The settings `given`, later ones winning, and the defaults of the rest."""
    chosen = {
        section: kind(**{name: v for one in given for name, v in one.get(section, {}).items()})
        for section, kind in SECTIONS.items()
    }
    return RunSettings(**chosen)


def written(settings: RunSettings) -> str:
    """`settings` as a TOML file that `read_config` reads, every setting with its words above it."""
    return "\n".join(
        f"[{section}]\n{''.join(_lines(parameters(kind), asdict(getattr(settings, section))))}"
        for section, kind in SECTIONS.items()
    )


def flat(settings: RunSettings, sections: Iterable[str]) -> dict[str, Value]:
    """The settings of some sections in one mapping, as "data.path"."""
    return {
        f"{section}.{name}": value
        for section in sections
        for name, value in asdict(getattr(settings, section)).items()
    }


def _lines(settings: Iterable[Parameter], values: Mapping[str, Value]) -> Iterable[str]:
    for one in settings:
        words = f"{one.tooltip} {one.limits}".strip()
        yield "".join(f"# {line}\n" for line in textwrap.wrap(words, WIDTH))
        yield f"{one.name} = {_toml_value(values[one.name])}\n\n"


def _typed(value: Any, parameter: Parameter, where: str) -> Value:
    """`value` if it is of the setting's type; whole numbers are good where other numbers or texts,
    such as a resolution, are asked for.
    """
    kind = type(parameter.default)
    if type(value) is kind:
        typed: Value = value
        return typed
    if kind is float and type(value) is int:
        return float(value) if abs(value) < sys.float_info.max else math.copysign(math.inf, value)
    if kind is str and type(value) is int:
        return str(value)
    found = _TYPES.get(type(value), "something else")
    raise UserError(
        f"{where}: {parameter.name} is {_told(value)}, "
        f"{found}; it has to be {_TYPES[kind]}, such as {_toml_value(parameter.default)}."
    )


_TYPES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


def _told(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return shown(value)
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _toml_value(value: Value) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's; TOML wants one for DEL, too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _nearest(name: str, known: Iterable[str]) -> str:
    every = list(known)
    near = difflib.get_close_matches(name, every, 1)
    return f"the nearest is {near[0]}" if near else f"there is {', '.join(every)}"
