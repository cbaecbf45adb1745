"""A sweep planned: which rows there are, in which order, and what later ones use again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeAlias

from ..ground.errors import UserError
from ..ground.structured import Json
from ..headless.graph.model import Graph
from ..headless.graph.needed import needed_nodes, origins
from ..headless.graph.override import with_input
from ..headless.graph.presets import with_preset
from ..headless.graph.registry import SEED_INPUTS, NodeSpec, Registry
from ..headless.graph.validate import require_known
from ..model_patch.preset import read_file, written
from .address import SIZE, Digests
from .description import PRESET, Cell, Values
from .values import Assignment, assigned

MANY = 10_000
"""Rows above which a sweep has to be meant (`require_meant`)."""

COMPUTED = ("cpu", "fp32")
"""Kind of device and numbers (`computing.kind_of`) that nobody had to choose."""

Choice: TypeAlias = tuple[int, ...]
"""A row: of each column, the number of its value."""

_LOADED = {"MODEL", "CLIP", "VAE", "CONTROL_NET", "MODEL_PATCH", "CLIP_VISION", "UPSCALE_MODEL"}
_LOADING, _LEARNED, _ENCODING, _OTHER = 1000, 50, 20, 1
"""How dear it is to run a node again, for the order of rows alone: to load a model, to make a hint
by a network, to encode a prompt, anything else. Sampling is not among them: every row samples."""


@dataclass(frozen=True)
class Row:
    """One row, as whoever runs it needs it: picklable.

    Args:
        number: its place in the order of running.
        address: what it is known by, in hexadecimal digits.
        settings: its values, by column; without those that it leaves as they are.
        preset: the number of its base graph.
        assignments: what it changes in that graph; later ones win.
        again: the ids of nodes whose results later rows use, too.
    """

    number: int
    address: str
    settings: Mapping[str, Json]
    preset: int
    assignments: tuple[Assignment, ...]
    again: frozenset[str]


@dataclass(frozen=True)
class Base:
    """A graph that rows change: the workflow, with a preset or without one.

    `columns` are those that a node's result depends on, for each node that the outputs need; `sets`
    holds the assignments of each value of each column.
    """

    graph: Graph
    specs: Mapping[str, NodeSpec]
    columns: Mapping[str, tuple[int, ...]]
    sets: tuple[tuple[tuple[Assignment, ...], ...], ...]


@dataclass(frozen=True)
class Executions:
    """How often nodes run: `each` where every row runs all of its nodes, `once` where what rows
    share is run once."""

    each: int
    once: int


def changed(
    graph: Graph, specs: Mapping[str, NodeSpec], assignments: Sequence[Assignment]
) -> Graph:
    """The graph of a row; `specs` are those of the types of nodes that there are."""
    for one in assignments:
        node = graph.nodes[one.node]
        spec = specs[node.type].live(node.inputs)
        graph = with_input(graph, spec, one.node, one.input, one.value)
    return graph


class SweepPlan:
    """The rows of a sweep, each once, in an order in which what is dear changes least."""

    def __init__(
        self,
        values: Values,
        graph: Graph,
        registry: Registry,
        computed: tuple[str, str] = COMPUTED,
    ) -> None:
        """`computed` says on which kind of device and in what rows are computed, as
        `computing.kind_of` does: pictures differ by it. Raises UserError for values that do not fit
        `graph`, and for presets without a stack."""
        self.columns = values.columns
        # Rows that were made before there was a choice keep their addresses.
        self._computed = b"" if computed == COMPUTED else " ".join(computed).encode()
        require_known(graph, registry)
        self._cells = _distinct(values)
        self.bases = _bases(graph, registry, self.columns, self._cells)
        self._preset = self.columns.index(PRESET) if PRESET in self.columns else None
        dearness = _dearness(self.bases, len(self.columns))
        self._order = sorted(range(len(self.columns)), key=lambda one: -dearness[one])
        numbers = [{_key(c): i for i, c in enumerate(cells)} for cells in self._cells]
        choices = [
            tuple(number[_key(cell)] for number, cell in zip(numbers, row, strict=True))
            for row in values
        ]
        choices.sort(key=lambda row: [row[column] for column in self._order])
        self._rows: dict[bytes, Choice] = {}
        for choice, address in zip(choices, self._addresses(choices), strict=True):
            self._rows.setdefault(address, choice)
        self.given = len(choices)
        """Rows as they were described; some may be the same."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def addresses(self) -> list[str]:
        """The rows' addresses, in the order of running."""
        return [address.hex() for address in self._rows]

    def values(self, column: str) -> tuple[Cell, ...]:
        """The values that a column has anywhere."""
        return self._cells[self.columns.index(column)]

    @property
    def repeats(self) -> tuple[str, ...]:
        """The columns that are no settings, but other cases of the same: seeds, pictures, texts."""
        base = self.bases[0]
        return tuple(
            name
            for name, values in zip(self.columns, base.sets, strict=True)
            if any(_is_case(one, base) for value in values for one in value)
        )

    @property
    def settings_names(self) -> tuple[str, ...]:
        """The columns that are settings, and have more than one value."""
        return tuple(
            name
            for name, cells in zip(self.columns, self._cells, strict=True)
            if len(cells) > 1 and name not in self.repeats
        )

    def settings(self, address: str) -> dict[str, Json]:
        """The values of a row by column, in the order that they were described in."""
        return self._settings(self._rows[bytes.fromhex(address)])

    def graph(self, row: Row) -> Graph:
        """What a row runs."""
        base = self.bases[row.preset]
        return changed(base.graph, base.specs, row.assignments)

    def rows(self, without: frozenset[str] = frozenset()) -> Iterator[Row]:
        """The rows to run, those at the addresses `without` left out."""
        todo = self._todo(without)
        uses = _Uses(self.bases, self._base, todo.values())
        for number, (address, choice) in enumerate(todo.items()):
            at = self._base(choice)
            yield Row(
                number,
                address.hex(),
                self._settings(choice),
                at,
                tuple(self._assignments(self.bases[at], choice)),
                uses.done(choice),
            )

    def graphs(self, without: frozenset[str] = frozenset(), most: int = MANY) -> Iterator[Graph]:
        """What the rows to run run; of more than `most` so many, evenly spread."""
        choices = list(self._todo(without).values())
        count = min(most, len(choices))
        for choice in (choices[number * len(choices) // count] for number in range(count)):
            base = self.bases[self._base(choice)]
            yield changed(base.graph, base.specs, tuple(self._assignments(base, choice)))

    def alone(self, without: frozenset[str] = frozenset()) -> int:
        """How often nodes run where every row to run runs all of its nodes."""
        todo = self._todo(without).values()
        return sum(len(self.bases[self._base(choice)].columns) for choice in todo)

    def runs(self, without: frozenset[str] = frozenset()) -> Counter[str]:
        """How often each node runs, by its id, where what rows share is run once."""
        return _Uses(self.bases, self._base, self._todo(without).values()).distinct()

    def _todo(self, without: frozenset[str]) -> dict[bytes, Choice]:
        left_out = {bytes.fromhex(address) for address in without}
        return {one: choice for one, choice in self._rows.items() if one not in left_out}

    def _settings(self, choice: Choice) -> dict[str, Json]:
        cells = [cells[at] for cells, at in zip(self._cells, choice, strict=True)]
        return {n: c for n, c in zip(self.columns, cells, strict=True) if c is not None}

    def _base(self, choice: Choice) -> int:
        return 0 if self._preset is None else choice[self._preset]

    def _assignments(self, base: Base, choice: Choice) -> Iterator[Assignment]:
        for values, at in zip(base.sets, choice, strict=True):
            yield from values[at]

    def _addresses(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        makers = [_Addresses(base, self._computed) for base in self.bases]
        for choice in choices:
            yield makers[self._base(choice)].of(choice)


class _Addresses:
    """The addresses of rows of one base graph; a node that was seen with a value is known."""

    def __init__(self, base: Base, computed: bytes) -> None:
        self._base, self._computed = base, computed
        self._digests = Digests()
        self._touching: list[tuple[str, tuple[int, ...]]] = [
            (
                node,
                tuple(
                    number
                    for number, values in enumerate(base.sets)
                    if any(one.node == node for value in values for one in value)
                ),
            )
            for node in sorted(base.columns)
        ]
        self._known: dict[tuple[str, Choice], bytes] = {}

    def of(self, choice: Choice) -> bytes:
        known = self._known
        parts = []
        for node, columns in self._touching:
            key = (node, tuple([choice[column] for column in columns]))
            found = known.get(key)
            if found is None:
                found = known[key] = self._digest(node, choice)
            parts.append(found)
        return hashlib.sha256(b"".join((*parts, self._computed))).digest()[:SIZE]

    def _digest(self, node_id: str, choice: Choice) -> bytes:
        node = self._base.graph.nodes[node_id]
        given = {
            one.input: one.value
            for values, at in zip(self._base.sets, choice, strict=True)
            for one in values[at]
            if one.node == node_id
        }
        changed = replace(node, inputs={**node.inputs, **given})
        return self._digests.of(changed, self._base.specs[node.type])


class _Uses:
    """Counts the rows that are still to use a node's result."""

    def __init__(self, bases: Sequence[Base], base_of: Any, choices: Any) -> None:
        self._base_of = base_of
        # Nodes that depend on the same columns are counted as one.
        self._groups = [
            {
                c: [n for n, of in base.columns.items() if of == c]
                for c in set(base.columns.values())
            }
            for base in bases
        ]
        self._waiting: dict[tuple[int, ...], Counter[Choice]] = {}
        self._ids: dict[tuple[tuple[int, ...], Choice], set[str]] = {}
        for choice in choices:
            for columns, ids in self._groups[base_of(choice)].items():
                part = tuple([choice[column] for column in columns])
                self._waiting.setdefault(columns, Counter())[part] += 1
                if len(bases) > 1:
                    self._ids.setdefault((columns, part), set()).update(ids)

    def done(self, choice: Choice) -> frozenset[str]:
        """A row is run: the nodes whose results rows after it use."""
        found: list[str] = []
        for columns, ids in self._groups[self._base_of(choice)].items():
            part = tuple([choice[column] for column in columns])
            self._waiting[columns][part] -= 1
            if self._waiting[columns][part]:
                found += ids
        return frozenset(found)

    def distinct(self) -> Counter[str]:
        """How often each node has another result."""
        found: Counter[str] = Counter()
        for columns, counts in self._waiting.items():
            if self._ids:
                for part in counts:
                    found.update(self._ids[columns, part])
            else:
                for node in self._groups[0][columns]:
                    found[node] += len(counts)
        return found


def require_meant(count: int, yes: bool) -> None:
    """Raise UserError for a sweep of more than MANY rows that nobody said yes to."""
    if count > MANY and not yes:
        raise UserError(
            f"this sweep has {count} rows, more than {MANY}; take values away, or say --yes"
        )


def _distinct(values: Values) -> tuple[tuple[Cell, ...], ...]:
    """The values of each column, each once, in the order of the first."""
    found: list[tuple[Cell, ...]] = []
    for names, rows in zip(values.names, values.rows, strict=True):
        for at in range(len(names)):
            found.append(tuple({_key(row[at]): row[at] for row in rows}.values()))
    return tuple(found)


def _key(cell: Cell) -> tuple[type, Any]:
    """1, 1.0 and true are other values."""
    return type(cell), cell


def _bases(
    graph: Graph, registry: Registry, columns: Sequence[str], cells: Sequence[Sequence[Cell]]
) -> tuple[Base, ...]:
    presets: Sequence[Cell] = (None,)
    at = None
    if PRESET in columns:
        at = columns.index(PRESET)
        presets = cells[at]
    return tuple(_base(graph, registry, columns, cells, preset, at) for preset in presets)


def _base(
    graph: Graph,
    registry: Registry,
    columns: Sequence[str],
    cells: Sequence[Sequence[Cell]],
    preset: Cell,
    preset_column: int | None,
) -> Base:
    whole = graph
    if isinstance(preset, str):
        file = Path(preset)
        whole = with_preset(graph, registry, written(read_file(file)), file.name)
    specs = registry.specs(whole)
    seen, sets = whole, []
    for name, values in zip(columns, cells, strict=True):
        # A choice may bring inputs: what comes later is looked up beside its first value.
        made = tuple(assigned(seen, registry, name, value) for value in values)
        sets.append(made)
        seen = changed(seen, specs, made[0])
    touched: dict[str, set[int]] = {node: set() for node in whole.nodes}
    for number, column in enumerate(sets):
        for assignment in (one for value in column for one in value):
            touched[assignment.node].add(number)
    if preset_column is not None:
        for node in whole.nodes:
            if node not in graph.nodes or whole.nodes[node] != graph.nodes[node]:
                touched[node].add(preset_column)
    return Base(whole, specs, _affecting(whole, specs, touched), tuple(sets))


def _affecting(
    graph: Graph, specs: Mapping[str, NodeSpec], touched: Mapping[str, set[int]]
) -> dict[str, tuple[int, ...]]:
    """For each node that the outputs need, the columns that its result depends on."""
    edges = {node: origins(graph.nodes[node], specs) for node in needed_nodes(graph, specs)}
    found: dict[str, tuple[int, ...]] = {}
    try:
        order = tuple(TopologicalSorter(edges).static_order())
    except CycleError:
        raise UserError("the links of this workflow go in a circle; remove one of them") from None
    for node in order:
        if node not in edges:  # a link to nothing, which `validate` says
            continue
        before = {column for origin in edges[node] for column in found.get(origin, ())}
        found[node] = tuple(sorted(touched[node] | before))
    return found


def _dearness(bases: Sequence[Base], count: int) -> list[int]:
    """What it takes, at each column, to change its value."""
    base = bases[0]
    found = [0] * count
    for node_id, columns in base.columns.items():
        for column in columns:
            found[column] += _weight(base.specs[base.graph.nodes[node_id].type])
    return found


def _is_case(one: Assignment, base: Base) -> bool:
    spec = base.specs[base.graph.nodes[one.node].type]
    declared = spec.inputs.get(one.input)
    return declared is not None and (
        one.input in SEED_INPUTS
        or declared.type == "STRING"
        or bool(declared.options.get("image_upload"))
    )


def _weight(spec: NodeSpec) -> int:
    entry = getattr(spec.cls, "PREPROCESSOR", None)
    takes = {declared.type for declared in spec.inputs.values()}
    if set(spec.outputs) & _LOADED and not takes & _LOADED:
        return _LOADING
    if entry is not None and entry.learning is not None:
        return _LEARNED
    return _ENCODING if "CONDITIONING" in spec.outputs and "CLIP" in takes else _OTHER
