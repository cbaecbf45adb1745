"""What a sweep is, before a workflow is known: names of inputs with values, multiplied or side by
side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from ..ground.errors import UserError
from ..ground.reading import read_text
from ..ground.structured import Json, read_csv, read_json, read_toml
from ..ground.wording import listing, shown

SEED, PRESET = "seed", "preset"
"""Names that stand for no single input: every seed, and a preset on every stack."""

ENDINGS = (".toml", ".csv", ".jsonl")
PARTS = ("product", "zip", "rows")
"""What a TOML description may hold."""

Cell: TypeAlias = Json
"""A value; None where a row leaves an input as the workflow has it."""


@dataclass(frozen=True)
class Column:
    """An input, as a person names it, and its values.

    `text` is what is still to be read as a list, a range, files or prompts: what it means depends
    on the input. Else `cells` are the values themselves.
    """

    name: str
    text: str | None = None
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Group:
    """Columns that go in step, one value of each in a row; `source` is what errors call it."""

    columns: tuple[Column, ...]
    source: str = ""


@dataclass(frozen=True)
class Description:
    """Groups, each against each."""

    groups: tuple[Group, ...] = ()

    def __add__(self, other: Description) -> Description:
        return Description((*self.groups, *other.groups))


@dataclass(frozen=True)
class Values:
    """A description whose values are known: by group the columns' names, and rows of values."""

    names: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[tuple[Cell, ...], ...], ...] = field(repr=False)

    @property
    def count(self) -> int:
        """How many rows the product has; none is made for that."""
        return math.prod(len(rows) for rows in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(name for names in self.names for name in names)

    def __iter__(self) -> Iterator[tuple[Cell, ...]]:
        """The rows, the last group changing fastest."""
        for parts in product(*self.rows):
            yield tuple(cell for part in parts for cell in part)


def described(
    multiplied: Sequence[str], in_step: Sequence[str], seeds: str, presets: Sequence[str]
) -> Description:
    """The description that options give: `multiplied` are those of --set, `in_step` those of --zip,
    NAME=VALUES each.
    """
    columns = [_column("--set", text) for text in multiplied]
    groups = [Group((column,), "--set") for column in columns]
    if in_step:
        groups.append(Group(tuple(_column("--zip", text) for text in in_step), "--zip"))
    if presets:
        groups.append(Group((Column(PRESET, cells=tuple(presets)),), "--preset"))
    if seeds:
        groups.append(Group((Column(SEED, seeds),), "--seed"))
    return Description(tuple(groups))


def read_description(path: Path) -> Description:
    """The description in a file: TOML with `product`, `zip` and `rows`; or rows alone, as CSV with
    a header or as JSONL. Raises UserError for a file that is none.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"{path} is no description of a sweep: its name ends in none of "
                        f"{', '.join(ENDINGS)}")  # fmt: skip
    text = read_text(path, "the description of a sweep")
    if ending == ".toml":
        return _from_toml(read_toml(text, str(path)), path)
    if ending == ".csv":
        rows: list[Mapping[str, Any]] = [
            {name: cell for name, cell in row.items() if cell}
            for _, row in read_csv(text, str(path))
        ]
    else:
        rows = [
            _row(read_json(line, f"{path}, line {number}", "row of a sweep"), path, number)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip()
        ]
    return Description((_of_rows(rows, path),))


def same_length(group: Group, lengths: Sequence[int]) -> int:
    """How many rows a group has. Raises UserError for columns of other lengths; both are named."""
    names = [column.name for column in group.columns]
    for name, length in zip(names, lengths, strict=True):
        if length != lengths[0]:
            raise UserError(
                f"{group.source}: {names[0]} has {lengths[0]} values and {name} has {length}; what "
                "goes in step needs as many of each"
            )
    return lengths[0]


def _column(flag: str, text: str) -> Column:
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"{flag} {shown(text)}: write NAME=VALUES, such as 3.cfg=4,6,8")
    if not values.strip():
        raise UserError(f"{flag} {name}= has no value; write such as {name}=0.4,0.7 or {name}=1..4")
    return Column(name.strip(), values)


def _from_toml(tables: Mapping[str, Any], path: Path) -> Description:
    strange = [name for name in tables if name not in PARTS]
    if strange or not tables:
        raise UserError(
            f"{path} holds {shown(strange[0]) if strange else 'nothing'}; a sweep has "
            f"{listing(PARTS)}"
        )
    groups = []
    for name, values in _table(tables.get("product", {}), path, "product").items():
        groups.append(Group((_read(name, values, path),), str(path)))
    zips = tables.get("zip", [])
    for table in zips if isinstance(zips, list) else [zips]:
        columns = [_read(n, v, path) for n, v in _table(table, path, "zip").items()]
        if columns:
            groups.append(Group(tuple(columns), f"{path}, zip"))
    if "rows" in tables:
        rows = tables["rows"]
        if not isinstance(rows, list):
            raise UserError(f"{path}: rows is no list of tables; write [[rows]] above each")
        groups.append(_of_rows([_row(row, path, n) for n, row in enumerate(rows, 1)], path))
    if not groups:
        raise UserError(f"{path} has no axis; write [product] and under it such as seed = '1..4'")
    return Description(tuple(groups))


def _table(value: Any, path: Path, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: {name} is no table; write [{name}], and a line for each input")
    return value


def _read(name: str, values: Any, path: Path) -> Column:
    if isinstance(values, str) and values.strip():
        return Column(name, values)
    cells = tuple(values) if isinstance(values, list) else (values,)
    if not cells or values == "":
        raise UserError(f"{path}: {name} has no value; write such as [0.4, 0.7] or '1..4'")
    return Column(name, cells=tuple(_cell(one, name, path) for one in cells))


def _cell(value: Any, name: str, path: Path) -> Cell:
    if isinstance(value, (bool, int, float, str)):
        return value
    raise UserError(f"{path}: {name} is {shown(value)}; give numbers, texts, true or false")


def _row(value: Any, path: Path, number: int) -> Mapping[str, Cell]:
    if not isinstance(value, dict) or not value:
        raise UserError(f"{path}: row {number} has no input with a value; write such as seed = 1")
    return {name: _cell(cell, name, path) for name, cell in value.items()}


def _of_rows(rows: Sequence[Mapping[str, Cell]], path: Path) -> Group:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise UserError(f"{path} holds no row; write one with a value for an input")
    return Group(
        tuple(Column(name, cells=tuple(row.get(name) for row in rows)) for name in names), str(path)
    )
