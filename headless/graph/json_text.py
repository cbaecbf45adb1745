"""JSON as workflows may hold it: finite numbers, one value a key, no depth that breaks a reader."""

from __future__ import annotations

import json
import math

from ...errors import UserError
from ..wording import shown
from .model import Json

# Deeper than any real workflow, and far from the interpreter's own limit (1000 calls).
MAX_DEPTH = 200


class _RefusedError(ValueError):
    """JSON that parses but that we do not take."""


def read_json(text: str, source: str) -> Json:
    """The value of `text`; `source` names the file in errors.

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
        raise UserError(f"{source} is no workflow: {error}") from error
    except RecursionError as error:
        raise UserError(f"{source} is no workflow: {_TOO_DEEP}") from error
    except ValueError as error:  # Python's limit on the digits of an integer
        raise UserError(f"{source} is no workflow: it holds a number of too many digits") from error
    return value


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
        elif isinstance(item, str) and not _is_text(item):
            raise _RefusedError(f"the text {shown(item)} holds half of a surrogate pair")


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
