"""Rows told by a text file beside the pictures: fill50k's prompt.json, and imagefolder's metadata.

Read line by line here and not by the library `datasets`, so that a bad line is named.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ...ground.errors import UserError
from .columns import Columns, find_columns
from .condition import looks_for_hints
from .row import Bad, File, Row, Rows
from .settings import DataSettings

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
    good: list[Row] = []
    bad: list[Bad] = []
    for where, entry in lines:
        row = _row(where, entry, columns, file.parent)
        if isinstance(row, Row):
            good.append(row)
        else:
            bad.append(row)
    return Rows(layout, str(file), tuple(good), tuple(bad))


def _row(where: str, entry: Entry | str, columns: Columns, folder: Path) -> Row | Bad:
    if isinstance(entry, str):
        return Bad(where, entry)
    caption = entry.get(columns.caption)
    if not isinstance(caption, str):
        return Bad(where, f"no caption: {columns.caption} is {json.dumps(caption)}")
    files: list[File] = []
    for column in (columns.image, columns.hint):
        if column is None:
            continue
        name = entry.get(column)
        if not isinstance(name, str) or not name:
            return Bad(where, f"no file: {column} is {json.dumps(name)}")
        path = folder / name
        if not path.is_file():
            return Bad(where, f"{column} {path} is not there")
        files.append(File(path))
    return Row(where, files[0], files[1] if columns.hint else None, caption)


def _entries(file: Path) -> Iterator[Line]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file} is no text in UTF-8; save it as such.") from None
    if file.suffix.lower() == ".csv":
        table = csv.DictReader(io.StringIO(text, newline=""), restkey=None)
        for entry in table:
            where = f"{file.name}, line {table.line_num}"
            # A line with more cells than the header keeps them under None.
            yield where, {name: value for name, value in entry.items() if isinstance(name, str)}
    elif text.lstrip().startswith("["):
        yield from _list(file, text)
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield f"{file.name}, line {number}", _entry(line)


def _list(file: Path, text: str) -> Iterator[Line]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise UserError(f"{file} is no JSON: {error}.") from None
    for number, entry in enumerate(entries, start=1):
        is_row = isinstance(entry, Mapping)
        yield f"{file.name}, entry {number}", entry if is_row else "it is no JSON object"


def _entry(line: str) -> Entry | str:
    try:
        entry = json.loads(line)
    except ValueError as error:
        return f"it is no JSON ({error})"
    return entry if isinstance(entry, Mapping) else "it is no JSON object"


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    if folder.is_file():
        return folder if folder.name in names else None
    return next((folder / name for name in names if (folder / name).is_file()), None)
