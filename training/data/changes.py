"""Has the data changed since? Told from names, sizes and times of files; no picture is opened."""

from __future__ import annotations

from .cache import digest
from .inside import typed
from .row import File
from .rows import read_rows, told_layout
from .settings import DataSettings


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
