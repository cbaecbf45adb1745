"""Rows of a data set that the library `datasets` reads: by its name on the hub, or from a folder
that the library wrote.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...ground.errors import UserError
from .columns import find_columns
from .condition import looks_for_hints
from .row import Bad, Cell, Row, Rows
from .settings import DataSettings

SAVED = ("state.json", "dataset_dict.json")
"""What `save_to_disk` leaves in the folder of a data set, and of one with several splits."""

TABLES = ("*.parquet", "*/*.parquet", "*.arrow", "*/*.arrow")


def is_data_set(folder: Path) -> bool:
    """Whether `datasets` wrote what is in `folder`, or it holds tables as on the hub."""
    return _is_saved(folder) or any(next(folder.glob(form), None) for form in TABLES)


def read_data_set(settings: DataSettings) -> Rows:
    """The rows of the data set's split; pictures stay encoded until they are read.

    Raises UserError where `datasets` is not installed or cannot find or read the data set, and for
    a split or column that it has not.
    """
    table = _load(settings)
    name = settings.path
    columns = find_columns(table.column_names, settings, name)
    if not looks_for_hints(settings):
        columns = replace(columns, hint=None)
    pictures = _undecoded(table, columns.image)
    hints = _undecoded(table, columns.hint) if columns.hint else None
    good: list[Row] = []
    bad: list[Bad] = []
    for number, caption in enumerate(table[columns.caption]):
        where = f"row {number + 1}"
        if not isinstance(caption, str):
            bad.append(Bad(where, f"no caption: {columns.caption} is {caption!r}"))
            continue
        hint = Cell(hints, number, columns.hint, name) if columns.hint else None
        good.append(Row(where, Cell(pictures, number, columns.image, name), hint, caption))
    return Rows("dataset", f"{name}, split {settings.split}", tuple(good), tuple(bad))


def _load(settings: DataSettings) -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError(
            "Data sets by name need the library datasets; install it with pip install datasets."
        ) from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    folder = Path(settings.path).expanduser()
    try:
        if folder.is_dir() and _is_saved(folder):
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(str(folder) if folder.exists() else settings.path)
    # The library raises errors of a dozen kinds of its own and of others.
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"The data set {settings.path} cannot be read: {why.rstrip('.')}. A name on the hub "
            "needs a connection, or a copy in the library's cache; a folder may be given instead."
        ) from error
    if not hasattr(loaded, "keys"):
        return loaded
    if settings.split not in loaded:
        raise UserError(
            f"The data set {settings.path} has no split {settings.split}; it has "
            f"{', '.join(loaded)}: name one with split."
        )
    return loaded[settings.split]


def _undecoded(table: Any, column: str) -> Any:
    """`column` alone of `table`; pictures stay the bytes they are kept as."""
    from datasets import Image

    alone = table.select_columns([column])
    is_picture = isinstance(table.features[column], Image)
    return alone.cast_column(column, Image(decode=False)) if is_picture else alone


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SAVED)
