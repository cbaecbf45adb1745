"""Rows of a data set that the library `datasets` reads: by its name on the hub, or from a folder
that the library wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...ground.errors import UserError
from ...ground.reading import read_text, require_regular
from ...ground.structured import read_json
from ...ground.wording import listing
from ..settings import DataSettings
from .captions import captions_of
from .columns import find_columns
from .condition import looks_for_hints
from .file_names import Inside
from .row import Bad, Cell, Row, Rows, first_line

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
    made: list[Row | Bad] = []
    name = settings.path
    with _one_sentence(name):
        inside = _inside(settings)
        table, split = _load(settings, inside)
        columns = find_columns(table.column_names, settings, name)
        if not looks_for_hints(settings):
            columns = replace(columns, hint=None)
        pictures = _undecoded(table, columns.image)
        hints = _undecoded(table, columns.hint) if columns.hint else None
        for number, caption in enumerate(table[columns.caption]):
            where = f"row {number + 1}"
            try:
                captions = captions_of(caption, columns.caption)
            except UserError as error:
                made.append(Bad.of(where, error))
                continue
            hint = Cell(hints, number, columns.hint, name, inside) if columns.hint else None
            picture = Cell(pictures, number, columns.image, name, inside)
            made.append(Row(where, picture, hint, captions))
    place = name + (f", split {split}" if split else "")
    return Rows.of("dataset", place, made, split)


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Errors of the library inside the block as a UserError."""
    try:
        yield
    except UserError:
        raise
    # The library raises errors of a dozen kinds of its own and of others.
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "datasets":
            raise UserError(
                "Data sets by name need the library datasets; install it with pip install datasets."
            ) from None
        raise UserError(
            f"The data set {name} cannot be read: {first_line(error)}. A name on the hub "
            "needs a connection, or a copy in the library's cache; a folder may be given instead."
        ) from error


def _inside(settings: DataSettings) -> Inside:
    """Where files may lie that cells name: in the folder, and where the libraries keep what they
    have downloaded or unpacked.
    """
    import datasets
    import huggingface_hub

    kept = (datasets.config.HF_DATASETS_CACHE, huggingface_hub.constants.HF_HUB_CACHE)
    return Inside(Path(settings.path).expanduser(), settings.outside, tuple(map(Path, kept)))


def _load(settings: DataSettings, inside: Inside) -> tuple[Any, str]:
    """The table, and its split where there are several."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    folder = inside.folder
    if folder.is_dir():
        for file in folder.rglob("*"):
            if not file.is_dir():
                require_regular(file, "the data set's file")
    if folder.is_dir() and _is_saved(folder):
        _require_own(inside)
        loaded = datasets.load_from_disk(str(folder))
    else:
        loaded = datasets.load_dataset(str(folder) if folder.exists() else settings.path)
    if not hasattr(loaded, "keys"):
        return loaded, ""
    if settings.split not in loaded:
        raise UserError(
            f"The data set {settings.path} has no split {settings.split}; it has "
            f"{listing(loaded)}: name one with split."
        )
    return loaded[settings.split], settings.split


def _require_own(inside: Inside) -> None:
    """Raise UserError where a saved data set names splits or tables that are not its own."""
    state, splits = SAVED
    for part in ("", *_told(inside.folder / splits, lambda told: told["splits"])):
        place = f"{part}/{state}" if part else state
        for table in _told(
            inside.folder / place,
            lambda told: [file["filename"] for file in told["_data_files"]],
        ):
            inside.file(f"{part}/{table}" if part else table, f"{place}: the table")


def _told(file: Path, names: Callable[[Any], list[Any]]) -> list[str]:
    """The `names` in a file of a saved data set; none where there is no such file."""
    if not file.exists():
        return []
    told = read_json(read_text(file, "the data set's file"), str(file), "state of a data set")
    return [str(name) for name in names(told)]


def _undecoded(table: Any, column: str) -> Any:
    """`column` alone of `table`; pictures stay the bytes they are kept as."""
    from datasets import Image

    alone = table.select_columns([column])
    is_picture = isinstance(table.features[column], Image)
    return alone.cast_column(column, Image(decode=False)) if is_picture else alone


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SAVED)
