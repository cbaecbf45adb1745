"""Rows told by a text file beside the pictures: fill50k's prompt.json, and imagefolder's metadata.

Read line by line here and not by the library `datasets`, so that a bad line is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ...ground.errors import UserError
from ...ground.reading import read_text
from ...ground.structured import read_csv, read_json
from ...ground.wording import shown
from ..settings import DataSettings
from .captions import captions_of
from .columns import Columns, find_columns
from .condition import looks_for_hints
from .file_names import Inside
from .row import Bad, File, Row, Rows

Entry: TypeAlias = Mapping[str, Any]
Line: TypeAlias = tuple[str, Entry | str]
"""Where an entry is told of, and the entry, or why it is none."""

PROMPTS = ("prompt.json", "prompt.jsonl")
METADATA = ("metadata.jsonl", "metadata.csv")


def find_prompts(folder: Path) -> Path | None:
    """fill50k's file of prompts in `folder`, or the file itself where it was given."""
    return _find(folder, PROMPTS)


def find_metadata(folder: Path, split: str) -> Path | None:
    """imagefolder's metadata in `folder` or in its folder for `split`, or the file itself."""
    return _find(folder, METADATA) or _find(folder / split, METADATA)


def read_table(file: Path, layout: str, settings: DataSettings) -> Rows:
    """The rows that `file` (JSON lines, a JSON list, or CSV with a header) tells of.

    File names are relative to its folder. Raises UserError for a file that is no text, has none of
    the columns, or has no row.
    """
    lines = list(_entries(file))
    names = {name: None for _, entry in lines if isinstance(entry, Mapping) for name in entry}
    if not names:
        why = f": {lines[0][1]}" if lines else ""
        raise UserError(f"{file} has no rows{why}.")
    columns = find_columns(names, settings, str(file))
    if not looks_for_hints(settings):
        columns = replace(columns, hint=None)
    inside = Inside(file.parent, settings.outside)
    made = (_row(where, entry, columns, inside) for where, entry in lines)
    return Rows.of(layout, str(file), made)


def _row(where: str, entry: Entry | str, columns: Columns, inside: Inside) -> Row | Bad:
    if isinstance(entry, str):
        return Bad(where, entry)
    try:
        captions = captions_of(entry.get(columns.caption), columns.caption)
        picture = _file(entry, columns.image, inside)
        hint = _file(entry, columns.hint, inside) if columns.hint is not None else None
    except UserError as error:
        return Bad.of(where, error)
    return Row(where, picture, hint, captions)


def _file(entry: Entry, column: str, inside: Inside) -> File:
    name = entry.get(column)
    if not isinstance(name, str) or not name:
        raise UserError(f"no file: {column} is {'null' if name is None else shown(name)}")
    return File(inside.file(name, column))


def _entries(file: Path) -> Iterator[Line]:
    text = read_text(file, "the table")
    if file.suffix.lower() == ".csv":
        for number, cells in read_csv(text, str(file)):
            yield f"{file.name}, line {number}", cells
    elif text.lstrip().startswith("["):
        entries = read_json(text, str(file), "list of rows")
        assert isinstance(entries, list)
        for number, entry in enumerate(entries, start=1):
            row = entry if isinstance(entry, dict) else "it is no JSON object"
            yield f"{file.name}, entry {number}", row
    else:
        # Not splitlines: JSON's texts may hold what that takes for ends of lines.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield f"{file.name}, line {number}", _entry(line)


def _entry(line: str) -> Entry | str:
    try:
        entry = read_json(line, "it", "row")
    except UserError as error:
        return error.sentence.replace(" in line 1, column", " in column")
    return entry if isinstance(entry, dict) else "it is no JSON object"


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    if folder.is_file():
        return folder if folder.name in names else None
    return next((folder / name for name in names if (folder / name).exists()), None)
