"""How names and values from files stand in a sentence to a person: short, quoted, on one line."""

from __future__ import annotations

from collections.abc import Iterable


def shown(value: object, limit: int = 60) -> str:
    """`value` as Python would write it, cut to `limit` characters; never holds a line break."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a number of more than 77 digits"  # Python itself refuses to print the longest
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def listing(names: Iterable[object], limit: int = 20) -> str:
    """`a, b, c`, at most `limit` of them and then how many more; "nothing" for none."""
    every = [str(name) for name in names]
    if not every:
        return "nothing"
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more
