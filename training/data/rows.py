"""The rows of a data set, whatever its layout."""

from __future__ import annotations

import re
from dataclasses import replace

from ...ground.errors import UserError
from ...ground.progress import Progress, unseen
from ..settings import DataSettings
from .cache import digest
from .caption_rows import has_captions, read_captioned
from .dataset_rows import is_data_set, read_data_set
from .file_names import typed
from .row import File, Rows
from .shard_rows import has_shards, is_pattern, read_shards
from .table_rows import METADATA, PROMPTS, find_metadata, find_prompts, read_table

NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
"""What a data set on the hub is called: its owner's name, and its own."""


def read_rows(settings: DataSettings, progress: Progress = unseen) -> Rows:
    """The rows of `settings.path`, the first `max_rows` of them. Opens no picture.

    Raises UserError for a path that is none, data that does not have its layout, and no rows.
    """
    if not settings.path:
        raise UserError("The training data has no path; name a folder or a data set.")
    folder = typed(settings.path, "the training data")
    layout = told_layout(settings)
    if layout == "dataset":
        rows = read_data_set(settings)
    elif layout == "captions":
        rows = read_captioned(folder, settings)
    elif layout == "shards":
        rows = read_shards(settings, progress)
    else:
        file = (
            find_prompts(folder) if layout == "fill50k" else find_metadata(folder, settings.split)
        )
        if file is None:
            names = " or ".join(PROMPTS if layout == "fill50k" else METADATA)
            raise UserError(f"{folder} has no {names}, which the layout {layout} needs.")
        rows = read_table(file, layout, settings)
        if layout == "imagefolder" and file.parent == folder / settings.split:
            rows = replace(rows, split=settings.split)
    if not rows.good and not rows.bad:
        raise UserError(f"{rows.place} has no rows; nothing can be learnt from it.")
    return rows.first(settings.max_rows)


def told_layout(settings: DataSettings) -> str:
    """The layout that `settings` name or, for "auto", that is told by what is there.

    Raises UserError where nothing tells it.
    """
    folder = typed(settings.path, "the training data")
    if not folder.exists() and is_pattern(settings.path) and settings.layout in ("auto", "shards"):
        return "shards"
    if not folder.exists():
        # Where its parent is a folder here, a mistyped folder is meant, and no request is made.
        named = NAME.fullmatch(settings.path) is not None and not folder.parent.exists()
        if settings.layout == "dataset" or (settings.layout == "auto" and named):
            return "dataset"
        raise UserError(
            f"The training data {folder} is not there; name a folder that is, or a data set of the "
            "hub with its owner, such as fusing/fill50k."
        )
    if settings.layout != "auto":
        return settings.layout
    if find_prompts(folder):
        return "fill50k"
    if find_metadata(folder, settings.split):
        return "imagefolder"
    if is_data_set(folder):
        return "dataset"
    if has_captions(folder):
        return "captions"
    if has_shards(folder, settings.split):
        return "shards"
    raise UserError(
        f"{folder} has no layout that is known: neither {PROMPTS[0]}, nor {' or '.join(METADATA)}, "
        "nor a data set that the library datasets wrote, nor pictures with a .txt of the same "
        "name beside them, nor tar files."
    )


def state_of(settings: DataSettings) -> str:
    """What changes when a file, a caption or the order of the data does: 32 hexadecimal digits.

    Data on the Hugging Face hub is not asked for and counts as what never changes. Raises UserError
    where the data cannot be listed, and OSError where a file is not there any more.
    """
    if told_layout(settings) == "dataset":
        # Its rows are in a few large tables, at most a folder below.
        folder = typed(settings.path, "the data")
        files = [path for form in ("*", "*/*") for path in folder.glob(form) if path.is_file()]
        return digest(*(File(path).stamp() for path in sorted(files)))
    rows = read_rows(settings)
    parts: list[object] = list(rows.bad)
    for row in rows.good:
        hint = row.hint.stamp() if row.hint is not None else None
        parts += [row.where, *row.captions, row.picture.stamp(), hint]
    return digest(*parts)
