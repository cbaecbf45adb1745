"""The core's nodes on texts, by Python's own methods and regular expressions."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping
from typing import Any

from ...ground.errors import UserError
from ...ground.wording import listing, one_line, shown
from ..expressions import Expression
from .declare import core_node, growing, integer

_TEXT = ("STRING", {"multiline": True})
_CASES = {
    "UPPERCASE": str.upper,
    "lowercase": str.lower,
    "Capitalize": str.capitalize,
    "Title Case": str.title,
}
_TRIMS = {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}
_COMPARED: dict[str, Callable[[str, str], bool]] = {
    "Starts With": lambda one, other: one.startswith(other),
    "Ends With": lambda one, other: one.endswith(other),
    "Equal": lambda one, other: one == other,
}


def _switch(default: bool) -> tuple[str, dict[str, bool]]:
    return "BOOLEAN", {"default": default, "advanced": True}


_CASE_SENSITIVE = _switch(True)
_FLAGS = {
    "case_insensitive": _switch(True),
    "multiline": _switch(False),
    "dotall": _switch(False),
}


@core_node(
    "StringConcatenate",
    "text",
    {
        "string_a": _TEXT,
        "string_b": _TEXT,
        "delimiter": ("STRING", {"default": "", "multiline": False}),
    },
    "STRING",
)
def concatenate(string_a: str, string_b: str, delimiter: str) -> str:
    """Both texts with `delimiter` between them."""
    return string_a + delimiter + string_b


class _Marks(string.Formatter):
    """`str.format`, without names that begin with "_": by those a shared graph could read what the
    process knows, such as its environment.
    """

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        """As the library has it; raises UserError for a name that nothing is wired to."""
        if isinstance(key, str) and key not in kwargs:
            raise UserError(
                f"nothing is wired to {key}, and to values is {listing(sorted(kwargs))}; wire it, "
                "or write {{ and }} for braces of the text"
            )
        return super().get_value(key, args, kwargs)

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        """As the library has it."""
        if any(part.startswith("_") for part in re.split(r"[.\[\]]", field_name)[1:]):
            raise ValueError(f"{field_name} reads a name that begins with _")
        return super().get_field(field_name, args, kwargs)


@core_node(
    "StringFormat",
    "text",
    {
        "values": growing("*", names=string.ascii_lowercase, least=0),
        "f_string": ("STRING", {"default": "{a}", "multiline": True}),
    },
    "STRING",
)
def fill_in(values: Mapping[str, Any], f_string: str) -> str:
    """A text with its {a}, {b:03} ... filled in as Python's `str.format` does it; UserError for a
    mark that nothing is wired to, that is wrong, or that reads a name which begins with "_".
    """
    try:
        return _Marks().format(f_string, **values)
    except UserError:
        raise
    except Exception as error:  # of anything that may be wired, and of what is read of it
        reason = one_line(str(error)) or type(error).__name__
        raise UserError(f"{shown(f_string)} cannot be filled in: {reason}") from error


@core_node(
    "JsonExtractString",
    "text",
    {"json_string": _TEXT, "key": ("STRING", {"multiline": False})},
    "STRING",
)
def take_from_json(json_string: str, key: str) -> str:
    """The value of a key of a JSON object as text; nothing where there is none."""
    try:
        found = json.loads(json_string)
    except (ValueError, RecursionError):
        return ""
    value = found.get(key) if isinstance(found, dict) else None
    return "" if value is None else str(value)


@core_node("StringSubstring", "text", {"string": _TEXT, "start": "INT", "end": "INT"}, "STRING")
def substring(string: str, start: int, end: int) -> str:
    """The characters from `start` to before `end`; below 0 they count from the end."""
    return string[start:end]


@core_node("StringLength", "text", {"string": _TEXT}, "INT", RETURN_NAMES=("length",))
def length(string: str) -> int:
    """How many characters a text has."""
    return len(string)


@core_node("CaseConverter", "text", {"string": _TEXT, "mode": list(_CASES)}, "STRING")
def convert_case(string: str, mode: str) -> str:
    """A text in capitals, in small letters, or with capitals first."""
    return _CASES[mode](string)


@core_node("StringTrim", "text", {"string": _TEXT, "mode": list(_TRIMS)}, "STRING")
def trim(string: str, mode: str) -> str:
    """A text without the blanks around it."""
    return _TRIMS[mode](string)


@core_node("StringReplace", "text", {"string": _TEXT, "find": _TEXT, "replace": _TEXT}, "STRING")
def replace(string: str, find: str, replace: str) -> str:
    """A text with `replace` wherever it had `find`."""
    return string.replace(find, replace)


@core_node(
    "StringContains",
    "text",
    {"string": _TEXT, "substring": _TEXT, "case_sensitive": _CASE_SENSITIVE},
    "BOOLEAN",
    RETURN_NAMES=("contains",),
)
def contains(string: str, substring: str, case_sensitive: bool) -> bool:
    """Whether a text holds another."""
    whole, part = _compared(string, substring, case_sensitive)
    return part in whole


@core_node(
    "StringCompare",
    "text",
    {
        "string_a": _TEXT,
        "string_b": _TEXT,
        "mode": list(_COMPARED),
        "case_sensitive": _CASE_SENSITIVE,
    },
    "BOOLEAN",
)
def compare(string_a: str, string_b: str, mode: str, case_sensitive: bool) -> bool:
    """Whether a text begins with another, ends with it, or is the same."""
    return _COMPARED[mode](*_compared(string_a, string_b, case_sensitive))


@core_node(
    "RegexMatch",
    "text",
    {"string": _TEXT, "regex_pattern": _TEXT, **_FLAGS},
    "BOOLEAN",
    RETURN_NAMES=("matches",),
)
def matches(string: str, regex_pattern: str, **flags: bool) -> bool:
    """Whether a regular expression is found in a text; UserError for one that is wrong."""
    return _expression(regex_pattern, **flags).is_in(string)


@core_node(
    "RegexExtract",
    "text",
    {
        "string": _TEXT,
        "regex_pattern": _TEXT,
        "mode": ["First Match", "All Matches", "First Group", "All Groups"],
        **_FLAGS,
        "group_index": integer(1, 0, 100, advanced=True),
    },
    "STRING",
)
def extract(string: str, regex_pattern: str, mode: str, group_index: int, **flags: bool) -> str:
    """What a regular expression finds, or one of its groups; all of them on lines of their own.

    "All Matches" of an expression with groups is the first group of each, as in the core.
    Raises UserError for an expression that is wrong.
    """
    pattern = _expression(regex_pattern, **flags)
    found = pattern.found_in(string)
    if mode in ("First Match", "First Group"):
        found = found[:1]
    if mode == "First Match":
        group = 0
    elif mode == "All Matches":
        group = min(pattern.groups, 1)
    else:
        group = group_index
    if group > pattern.groups or (mode == "All Groups" and not pattern.groups):
        return ""
    return "\n".join(match[group] or "" for match in found)


@core_node(
    "RegexReplace",
    "text",
    {"string": _TEXT, "regex_pattern": _TEXT, "replace": _TEXT},
    "STRING",
    optional={**_FLAGS, "count": integer(0, 0, 100, advanced=True)},
)
def replace_pattern(
    string: str,
    regex_pattern: str,
    replace: str,
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
    count: int = 0,
) -> str:
    """A text with `replace` wherever an expression is found, `count` times at most (0: everywhere).

    Raises UserError for an expression or a replacement that is wrong.
    """
    flags = {"case_insensitive": case_insensitive, "multiline": multiline, "dotall": dotall}
    pattern = _expression(regex_pattern, **flags)
    try:
        return pattern.replaced_in(string, replace, count)
    except ValueError as error:
        raise UserError(f"the replacement {shown(replace)} is wrong: {error}") from error


def _compared(one: str, other: str, case_sensitive: bool) -> tuple[str, str]:
    return (one, other) if case_sensitive else (one.lower(), other.lower())


def _expression(text: str, **flags: bool) -> Expression:
    try:
        return Expression(text, **flags)
    except ValueError as error:
        raise UserError(f"{shown(text)} is no regular expression: {error}") from error
