"""JSON, TOML and CSV from files that somebody else may have written, read without surprises.

Whatever a parser of Python's raises over such a text becomes one UserError here.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias, Union

from .errors import UserError
from .reading import MAX_BYTES
from .wording import shown

Json: TypeAlias = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]
JsonObject: TypeAlias = dict[str, Json]

# Deeper than any real file, and far from the interpreter's own limit (1000 calls).
MAX_DEPTH = 200


class _RefusedError(ValueError):
    """JSON that parses but that we do not take."""


def read_json(text: str, source: str, what: str = "workflow") -> Json:
    """The value of `text`; `source` names the file in errors, and `what` says what it should be.

    Raises UserError for text that is no JSON, and for NaN, infinities, keys given twice, numbers
    too long to read, half surrogate pairs and nesting deeper than `MAX_DEPTH`.
    """
    try:
        value: Json = json.loads(
            text, parse_constant=_not_finite, parse_float=_float, object_pairs_hook=_object
        )
        _check(value)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{source} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from error
    except _RefusedError as error:
        raise UserError(f"{source} is no {what}: {error}") from error
    except RecursionError as error:
        raise UserError(f"{source} is no {what}: {_TOO_DEEP}") from error
    except ValueError as error:  # Python's limit on the digits of an integer
        raise UserError(f"{source} is no {what}: it holds a number of too many digits") from error
    return value


def read_toml(text: str, source: str) -> dict[str, Any]:
    """The tables of `text`. Raises UserError, naming `source`, where it is no TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"{source} is no TOML that is read: {_TOO_DEEP}") from error
    except ValueError as error:  # tomllib's own is one, and so is Python's of a number too long
        raise UserError(f"{source} is no TOML: {str(error)[:200]}") from error


def read_csv(text: str, source: str) -> list[tuple[int, dict[str, str]]]:
    """The number of the line each row ends in, and its cells by the header's names; cells that
    lack a name, or are not there, are left out.

    Raises UserError, naming `source` and the line, where it is no CSV, and for a name that stands
    twice in the header.
    """
    table = csv.DictReader(io.StringIO(text, newline=""))
    before = csv.field_size_limit(MAX_BYTES)  # the whole process's: read at once, and put back
    try:
        names = [name for name in table.fieldnames or () if name]
        rows = [
            (table.line_num, {k: v for k, v in row.items() if isinstance(v, str) and k})
            for row in table
        ]
    except csv.Error as error:
        raise UserError(f"{source} is no CSV: {error} in line {table.line_num}") from error
    finally:
        csv.field_size_limit(before)
    for name, times in Counter(names).items():
        if times > 1:
            raise UserError(f"{source} has the column {shown(name)} twice; rename one of them")
    return rows


def objects_in(value: Json) -> list[JsonObject]:
    """The objects of a list, in order; none of what is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def object_at(item: Mapping[str, Json], key: str) -> JsonObject:
    """The object at `key`; an empty one where there is none."""
    value = item.get(key)
    return value if isinstance(value, dict) else {}


def text_at(item: Mapping[str, Json], key: str) -> str:
    """The text at `key`; "" where there is none."""
    value = item.get(key)
    return value if isinstance(value, str) else ""


_MISSING = object()
_TOO_DEEP = f"its values are nested more than {MAX_DEPTH} deep"


class _NotFinite(str):
    """Where NaN or an infinity stood, until we know whose value it is."""

    __slots__ = ()


def _not_finite(name: str) -> _NotFinite:
    return _NotFinite(name)


def _float(text: str) -> float | _NotFinite:
    value = float(text)
    return value if math.isfinite(value) else _NotFinite(text)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    # Older ComfyUI left a mark of its cache in the prompts of PNGs: "is_changed": [NaN].
    kept = [(key, value) for key, value in pairs if key != "is_changed"]
    found = dict(kept)
    if len(found) != len(kept):
        twice = next(key for key, _ in kept if found.pop(key, _MISSING) is _MISSING)
        raise _RefusedError(f"the key {shown(twice)} stands twice in one object")
    return found


def _check(value: Json) -> None:
    """Look at every value once, without recursion."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _RefusedError(_TOO_DEEP)
        if isinstance(item, dict):
            waiting += [(key, depth + 1) for key in item]
            waiting += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list):
            waiting += [(child, depth + 1) for child in item]
        elif isinstance(item, _NotFinite):
            raise _RefusedError(f"it holds the number {shown(str(item))}, which is not finite")
        elif isinstance(item, str) and not is_text(item):
            raise _RefusedError(f"the text {shown(item)} holds half of a surrogate pair")


def is_text(text: str) -> bool:
    """Whether `text` can be written as UTF-8: it holds no half of a surrogate pair."""
    if text.isascii():
        return True
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
