"""Regular expressions that a shared graph brings: one that would never end is told, not waited for.

By the library regex, which has a limit of time and otherwise does what Python's own does; that one
cannot be interrupted, not even by Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..ground.errors import UserError
from ..ground.wording import shown

SECONDS = 5.0
"""For one text. Expressions that end at all take thousandths of one."""


class Expression:
    """A regular expression.

    Methods are those of `re.Pattern`. They raise UserError where they take longer than `SECONDS`.
    """

    def __init__(
        self,
        text: str,
        *,
        case_insensitive: bool = False,
        multiline: bool = False,
        dotall: bool = False,
    ) -> None:
        """Raises ValueError, in the library's words, for a text that is no regular expression."""
        import regex

        given = {
            regex.IGNORECASE: case_insensitive,
            regex.MULTILINE: multiline,
            regex.DOTALL: dotall,
        }
        flags = sum(flag for flag, is_on in given.items() if is_on)
        try:
            self._pattern: Any = regex.compile(text, flags)
        except (regex.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error) or type(error).__name__) from error
        self._text = text

    @property
    def groups(self) -> int:
        """How many it has."""
        count: int = self._pattern.groups
        return count

    def is_in(self, text: str) -> bool:
        """Whether it is found anywhere."""
        with self._in_time():
            return self._pattern.search(text, timeout=SECONDS) is not None

    def found_in(self, text: str) -> list[Any]:
        """All matches, from left to right."""
        with self._in_time():
            return list(self._pattern.finditer(text, timeout=SECONDS))

    def replaced_in(self, text: str, by: str, count: int = 0) -> str:
        """The text with `by` in place of the first `count` matches (0: all).

        Raises ValueError for a replacement that is wrong.
        """
        import regex

        try:
            with self._in_time():
                made: str = self._pattern.sub(by, text, count=count, timeout=SECONDS)
        except (regex.error, IndexError) as error:
            raise ValueError(str(error)) from error
        return made

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise UserError(
                f"the regular expression {shown(self._text)} takes longer than {SECONDS:g} s: it "
                "repeats what repeats, as (a+)+ and (a|a)+ do; write it without"
            ) from error
