"""How names and values from files stand in a sentence to a person: short, quoted, on one line."""

from __future__ import annotations

import difflib
import textwrap
import unicodedata
from collections.abc import Iterable

# Marks that turn the direction of what follows them, on a terminal as in a page: with them a name
# can look like another (https://trojansource.codes).
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters (terminal escapes, line breaks), halves of surrogates, separators of lines.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def one_line(text: str) -> str:
    """`text` on one line, without what a terminal would obey: such letters become `\\x1b`.

    Every text that came from a file goes through here on its way to a person.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(letter) if _is_obeyed(letter) else letter for letter in text)


def shown(value: object, limit: int = 60) -> str:
    """`value` as Python would write it, cut to `limit` characters; never holds a line break."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a number of more than 77 digits"  # Python itself refuses to print the longest
    try:
        text = repr(value)
    except ValueError:  # such a number, somewhere inside
        return "values with a number of too many digits"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def first_line(error: Exception) -> str:
    """What an error of a library says, or its class, short enough for a sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(line, 160)


def listing(names: Iterable[object], limit: int = 20) -> str:
    """`a, b, c`, at most `limit` of them and then how many more; "nothing" for none."""
    every = [one_line(str(name)) for name in names]
    if not every:
        return "nothing"
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def near(name: str, names: Iterable[str]) -> str:
    """What is said behind a `name` that is none of `names`: " (do you mean 'strength'?)", or ""."""
    known = {one.casefold(): one for one in names}
    found = difflib.get_close_matches(name.casefold(), known, n=2, cutoff=0.7)
    return f" (do you mean {' or '.join(shown(known[one]) for one in found)}?)" if found else ""


def size_in_words(size: float) -> str:
    """A number of bytes as GB or MB (powers of ten): "3.1 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _is_obeyed(letter: str) -> bool:
    return letter in _TURNING or unicodedata.category(letter) in _UNSEEN


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
