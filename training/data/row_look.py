"""A look at one row: can it be used, and what should a person know of it?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from ...ground.errors import UserError
from ...ground.wording import one_line
from ...preprocessors.sizing import Size
from ...preprocessors.spec import Hint
from ..settings import DataSettings
from .condition import Condition
from .row import Bad, Row
from .row_pictures import check_size, header_of, read_hint, seen_of

FAINT = 1 / 8
"""A hint without a brighter value than this is hardly one: masks of 0 and 1, numbers of classes, or
depth of 8 bits in 16."""


@dataclass(frozen=True)
class Shades:
    """What a decoded hint holds: its `largest` value, 1 being white; `flat` means one colour."""

    name: str
    largest: float
    flat: bool


@dataclass(frozen=True)
class Seen:
    """What was seen of a row: its picture's size, whether picture and hint have alpha that is no
    mask, and the hint's shades where it was decoded.
    """

    size: Size
    alpha: bool
    hint_alpha: bool = False
    shades: Shades | None = None


Job: TypeAlias = tuple[Row, bool]
"""A row, and whether its hint is decoded where not all are."""


def look(job: Job, settings: DataSettings, condition: Condition, full: bool) -> Seen | Bad:
    """What is seen of a row, or why it cannot be used.

    `full` decodes all and makes hints that need no network; without it, headers are read, and the
    shades of some given hints.
    """
    row, sampled = job
    try:
        return (_whole if full else partial(_headers, sampled=sampled))(row, settings, condition)
    except (UserError, OSError) as error:
        return Bad.of(row.where, error)


def _whole(row: Row, settings: DataSettings, condition: Condition) -> Seen:
    seen = _headers(row, settings, condition, sampled=False)
    _, hint = seen_of(row, settings, condition, seed=0)
    return seen if hint is None else replace(seen, shades=_shades(row, hint))


def _headers(row: Row, settings: DataSettings, condition: Condition, sampled: bool) -> Seen:
    size, alpha = header_of(row.picture)
    if row.hint is None or condition.from_picture:
        return Seen(size, alpha)
    if row.hint.is_pose or (condition.made and condition.draws_people):
        read_hint(row, size, condition)
        return Seen(size, alpha)
    found, dropped = header_of(row.hint)
    check_size(row, found, size, condition)
    seen = Seen(size, alpha, dropped and not condition.whole)
    return _with_shades(seen, row, condition) if sampled and not condition.whole else seen


def _with_shades(seen: Seen, row: Row, condition: Condition) -> Seen:
    """`seen` with the shades of a given hint; one that cannot be decoded is found when it is used,
    as others that are not sampled.
    """
    try:
        hint = read_hint(row, seen.size, condition)
    except UserError:
        return seen
    assert isinstance(hint, np.ndarray)
    return replace(seen, shades=_shades(row, hint))


def _shades(row: Row, hint: Hint) -> Shades:
    white = 255 if hint.dtype == np.uint8 else 1
    name = one_line(str((row.hint or row.picture).name))
    return Shades(name, float(hint.max()) / white, bool((hint == hint[:1, :1]).all()))
