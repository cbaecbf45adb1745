"""What the values of a sweep are for a given workflow: numbers, choices, pictures, prompts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..ground.errors import UserError, named
from ..ground.inputs import IMAGE_SUFFIXES, WILD, files_of
from ..ground.ranges import numbers_of
from ..ground.reading import read_text
from ..ground.structured import Json
from ..ground.wording import listing
from ..headless import folders
from ..headless.graph.model import Graph
from ..headless.graph.override import Target, seeds_of, targets
from ..headless.graph.registry import InputSpec, Registry
from .description import PRESET, SEED, Cell, Column, Description, Group, Values, same_length

FILE_MARK = "@"
"""What a text begins with that names a file of prompts, a line each."""


@dataclass(frozen=True)
class Assignment:
    """One input of one node, and the value it is given."""

    node: str
    input: str
    value: Json


def read_values(
    description: Description, graph: Graph, registry: Registry
) -> tuple[Values, folders.Folders]:
    """The values that a description has for `graph`, and the folders in which its pictures are
    found: the current ones, and one more where pictures lie elsewhere.

    Raises UserError for a node or an input that is not there (the nearest names are said), values
    that do not fit, an axis without values, files that are not there, and columns of other lengths
    that go in step.
    """
    names = [column.name for group in description.groups for column in group.columns]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name} is swept twice; put all its values into one list")
    pictures = _Pictures()
    groups = []
    for group in description.groups:
        lists = [_cells(column, graph, registry, pictures) for column in group.columns]
        same_length(group, [len(cells) for cells in lists])
        groups.append((group, lists))
    places = pictures.places()
    with folders.use(places):
        rows = [
            tuple(zip(*(_named(cells, places) for cells in lists), strict=True))
            for _, lists in groups
        ]
    return Values(tuple(_names(group) for group, _ in groups), tuple(rows)), places


def assigned(graph: Graph, registry: Registry, name: str, cell: Cell) -> tuple[Assignment, ...]:
    """The inputs of `graph` that the value `cell` of the column `name` sets. Raises UserError for
    a value that does not fit; PRESET sets none."""
    if cell is None or name == PRESET:
        return ()
    with named(_option(name)):
        return tuple(
            Assignment(one.node.id, one.input.name, one.value(_text(cell)))
            for one in _targets(name, graph, registry)
        )


def _names(group: Group) -> tuple[str, ...]:
    return tuple(column.name for column in group.columns)


def _option(name: str) -> str:
    return "--seed" if name == SEED else name


def _text(cell: Cell) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _targets(name: str, graph: Graph, registry: Registry) -> list[Target]:
    if name != SEED:
        return targets(graph, registry, name)
    found = [one for seed in seeds_of(graph) for one in targets(graph, registry, seed)]
    if not found:
        raise UserError("nothing in this workflow has a seed; leave it out")
    return found


def _cells(
    column: Column, graph: Graph, registry: Registry, pictures: _Pictures
) -> list[Cell | Path]:
    """A column's values; pictures as the files that they are."""
    if column.name == PRESET:
        return [str(path) for cell in column.cells for path in files_of([str(cell)], (".json",))]
    found = _targets(column.name, graph, registry)
    kind = found[0].input
    with named(_option(column.name)):
        if column.text is None:
            given = [str(cell) for cell in column.cells if isinstance(cell, str)]
            if _is_picture(kind) and given:
                return [pictures.one(cell) for cell in column.cells]
            return list(column.cells)
        return _listed(column.text, kind, pictures)


def _listed(text: str, kind: InputSpec, pictures: _Pictures) -> list[Cell | Path]:
    if _is_picture(kind):
        return pictures.several(text)
    if kind.is_choice:
        known = {str(choice): choice for choice in kind.choices}
        if text in known:
            return [known[text]]
        return [piece.strip() for piece in text.split(",") if piece.strip()] or [text]
    if kind.type in ("INT", "FLOAT"):
        return list(numbers_of(text, kind.type == "INT"))
    if kind.type == "BOOLEAN":
        return [piece.strip() for piece in text.split(",")]
    if text.startswith(FILE_MARK):
        return list(_lines(Path(text[1:])))
    return [text]


def _lines(path: Path) -> list[str]:
    """The prompts of a file, a line each; empty lines are left out."""
    lines = [line.strip() for line in read_text(path, "the file of prompts").splitlines()]
    if not any(lines):
        raise UserError(f"the file of prompts {path} holds no line; write a prompt on each")
    return [line for line in lines if line]


def _is_picture(kind: InputSpec) -> bool:
    """Whether it is a menu of the pictures in the input folder."""
    return kind.is_choice and bool(kind.options.get("image_upload"))


class _Pictures:
    """Pictures that a sweep names, as files on this machine, and the folder that they share."""

    def __init__(self) -> None:
        self._files: dict[Path, None] = {}

    def several(self, text: str) -> list[Cell | Path]:
        """The pictures that a text lists with commas: names of input pictures, files, folders and
        globs."""
        return [one for piece in _pieces(text) for one in self._piece(piece)]

    def one(self, cell: Cell) -> Cell | Path:
        """A picture of a row."""
        if cell is None:
            return None
        found = self._piece(str(cell))
        if len(found) != 1:
            raise UserError(f"{cell} stands for {len(found)} pictures in a row of one; name a file")
        return found[0]

    def places(self) -> folders.Folders:
        """The current folders with one more for the pictures that are in none of them."""
        here = folders.current()
        strange = [path for path in self._files if not any(_in(path, one) for one in here.input)]
        if not strange:
            return here
        root = Path(os.path.commonpath([path.parent for path in strange]))
        return replace(here, input=(*here.input, root))

    def _piece(self, piece: str) -> Sequence[Cell | Path]:
        if piece in folders.input_names():
            return [piece]
        if not (Path(piece).exists() or WILD & set(piece)):
            raise UserError(
                f"there is no picture, folder or glob {piece}; there is "
                f"{listing(folders.input_names(), 8)} in the input folders"
            )
        found = [_absolute(path) for path in files_of([piece], IMAGE_SUFFIXES)]
        self._files |= dict.fromkeys(found)
        return found


def _pieces(text: str) -> list[str]:
    return [text] if Path(text).exists() else [p.strip() for p in text.split(",") if p.strip()]


def _absolute(path: Path) -> Path:
    """Links stay: a picture is looked up by the name that it was given."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _in(path: Path, folder: Path) -> bool:
    return path.is_relative_to(_absolute(folder))


def _named(cells: Sequence[Cell | Path], places: folders.Folders) -> list[Cell]:
    """Files by the names that a workflow gives them."""
    return [_name(cell, places) if isinstance(cell, Path) else cell for cell in cells]


def _name(path: Path, places: folders.Folders) -> str:
    for base in places.input:
        if _in(path, base):
            name = path.relative_to(_absolute(base)).as_posix()
            found = folders.find_input(name)
            if not found.samefile(path):
                raise UserError(
                    f"{path} would be called {name}, and so is {found}; give one another name"
                )
            return name
    raise AssertionError(path)  # places() saw to it
