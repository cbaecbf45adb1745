"""Letters of our tables where standard output has fewer of them, such as Windows' cp1252."""

from __future__ import annotations

import sys

_PLAIN = str.maketrans({"↑": "^", "↓": "v", "±": "+-", "–": "-", "∞": "inf"})


def readable(words: str) -> str:
    """`words` in letters that standard output's encoding has: ours become plain ones, and others
    `\\u2191`.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        words.encode(encoding)
    except UnicodeEncodeError:
        plain = words.translate(_PLAIN)
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return words
