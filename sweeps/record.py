"""What is known of a row that has run, as a line of sweep.jsonl; and the folder that keeps them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.ours import MARKED, made_here
from ..ground.places import require_place
from ..ground.structured import Json, read_json
from .fidelity import figures_in

JSONL, PARQUET, PAGE, PLOT = "sweep.jsonl", "sweep.parquet", "index.html", "fidelity.png"
PICTURES, SCRATCH = "pictures", ".rows"
VERSION = 1


@dataclass(frozen=True)
class Record:
    """One row that ran.

    Args:
        address: what it is known by.
        settings: its values by column.
        pictures: their names in the folder of the sweep.
        seconds: that it took, by the clock.
        executed, reused: nodes that ran, and nodes whose result still held.
        fidelity: as `fidelity.as_json` has it.
        nodes: seconds of each node that ran, by id.
        error: the sentence of a row that failed; "" of one that did not.
    """

    address: str
    settings: Mapping[str, Json]
    pictures: tuple[str, ...] = ()
    seconds: float = 0.0
    executed: int = 0
    reused: int = 0
    fidelity: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nodes: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    def line(self) -> bytes:
        """As a line of JSON."""
        values = {**MARKED, "version": VERSION, "row": self.address, **self._values()}
        return (json.dumps(values, ensure_ascii=False) + "\n").encode()

    def _values(self) -> dict[str, Any]:
        return {
            "settings": dict(self.settings),
            "pictures": list(self.pictures),
            "seconds": round(self.seconds, 4),
            "executed": self.executed,
            "reused": self.reused,
            "fidelity": {name: dict(one) for name, one in self.fidelity.items()},
            "nodes": {name: round(seconds, 4) for name, seconds in self.nodes.items()},
            "error": self.error,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Record:
        """What a line says; KeyError or TypeError for one that is none of ours."""
        return cls(
            str(values["row"]),
            dict(values["settings"]),
            tuple(map(str, values["pictures"])),
            float(values["seconds"]),
            int(values["executed"]),
            int(values["reused"]),
            {name: dict(one) for name, one in values["fidelity"].items()},
            {name: float(one) for name, one in values["nodes"].items()},
            str(values["error"]),
        )


class Store:
    """The folder of a sweep: a line a row in sweep.jsonl, and the rows' pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def require(self) -> None:
        """Raise UserError where nothing can be written, and where a file of somebody else lies in
        the way; nothing is made."""
        require_place(self.folder, "the folder for the sweep", folder=True)
        for name in (JSONL, PAGE):
            if (self.folder / name).exists() and not made_here(self.folder / name):
                raise UserError(
                    f"{self.folder / name} is there already and was not made by ControlStack; name "
                    "another folder with --out"
                )

    def read(self) -> dict[str, Record]:
        """The rows that are known, by their addresses; the last line of a row counts.

        A line that was cut off when a process ended is left out, and so is a row whose pictures are
        gone. Raises UserError for a file that is none of ours.
        """
        path = self.folder / JSONL
        if not path.exists():
            return {}
        lines = path.read_bytes().split(b"\n")
        found: dict[str, Record] = {}
        for number, line in enumerate(lines[:-1], 1):  # behind the last line's end there is nothing
            if not line.strip():
                continue
            what = f"{path}, line {number}"
            try:
                values = read_json(line.decode(), what, "row of a sweep")
                assert isinstance(values, dict)
                record = Record.of(values)
            except (KeyError, TypeError, ValueError, AssertionError, AttributeError) as error:
                raise UserError(
                    f"{what} is no row of a sweep; take the line out, or name another folder"
                ) from error
            found[record.address] = record
        there = self._pictures()
        return {key: one for key, one in found.items() if there.issuperset(one.pictures)}

    def begin(self) -> None:
        """Make the folder ready: what a process that was killed left half written goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / PICTURES).mkdir(exist_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        path = self.folder / JSONL
        if path.exists() and not (data := path.read_bytes()).endswith(b"\n") and data:
            write_atomic(path, data[: data.rfind(b"\n") + 1])

    def end(self) -> None:
        """Let go of what rows were made in."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        """Where rows are made."""
        return self.folder / SCRATCH

    def add(self, record: Record) -> None:
        """Write a row's line, in one go: its pictures are there already."""
        with (self.folder / JSONL).open("ab", buffering=0) as file:
            file.write(record.line())

    def keep(self, address: str, number: int, picture: bytes | Path) -> str:
        """Give a row's picture its name for good, and say it: a file that is moved, or bytes."""
        name = picture_name(address, number)
        if isinstance(picture, Path):
            picture.replace(self.folder / name)
        else:
            write_atomic(self.folder / name, picture)
        return name

    def settle(self, order: Sequence[str], records: Mapping[str, Record]) -> None:
        """Write the lines anew, once each: those at the addresses `order` first."""
        first = dict.fromkeys(key for key in order if key in records)
        every = [*first, *(key for key in records if key not in first)]
        write_atomic(self.folder / JSONL, b"".join(records[key].line() for key in every))

    def _pictures(self) -> set[str]:
        folder = self.folder / PICTURES
        return {f"{PICTURES}/{p.name}" for p in folder.iterdir()} if folder.is_dir() else set()


def picture_name(address: str, number: int) -> str:
    """The name, in the folder of a sweep, of picture `number` of a row."""
    return f"{PICTURES}/{address}" + (f"_{number}" if number else "") + ".png"


def table(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Rows as columns of one length: settings and figures, each under its name. A name that a
    figure shares with a setting gets none of it: figures are called "control: figure".
    """
    rows = list(records)
    settings = dict.fromkeys(name for row in rows for name in row.settings)
    figures = dict.fromkeys(
        (control, name)
        for row in rows
        for control, found in row.fidelity.items()
        for name in figures_in(found)
    )
    own: dict[str, list[Any]] = {
        "row": [row.address for row in rows],
        **{name: [row.settings.get(name) for row in rows] for name in settings},
    }
    return {
        **own,
        "seconds": [row.seconds for row in rows],
        "executed": [row.executed for row in rows],
        "reused": [row.reused for row in rows],
        **{
            f"{control}: {name}": [row.fidelity.get(control, {}).get(name) for row in rows]
            for control, name in figures
        },
        "pictures": [list(row.pictures) for row in rows],
        "error": [row.error for row in rows],
    }


def write_parquet(path: Path, records: Iterable[Record]) -> bool:
    """Write the table of the rows as Parquet; False where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return False
    columns = {name: _one_kind(cells) for name, cells in table(records).items()}
    made = pyarrow.table(columns)
    made = made.replace_schema_metadata({b"software": MARKED["software"].encode()})
    stream = pyarrow.BufferOutputStream()
    parquet.write_table(made, stream)
    write_atomic(path, stream.getvalue().to_pybytes())
    return True


def _one_kind(cells: Sequence[Any]) -> Sequence[Any]:
    """Cells of one type: a column of numbers and texts becomes texts."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if len(kinds) < 2:
        return cells
    if kinds <= {int, float}:
        return [None if cell is None else float(cell) for cell in cells]
    return [None if cell is None else str(cell) for cell in cells]
