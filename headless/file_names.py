"""The `%...%` marks in the name of a saved file, as ComfyUI fills them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

# ComfyUI's canvas writes dates with these letters.
_DATE_PARTS = {
    "yyyy": "%Y",
    "yy": "%y",
    "MM": "%m",
    "M": "%m",
    "dd": "%d",
    "d": "%d",
    "hh": "%H",
    "h": "%H",
    "mm": "%M",
    "m": "%M",
    "ss": "%S",
    "s": "%S",
}
_PLAIN = {"year": "yyyy", "month": "MM", "day": "dd", "hour": "hh", "minute": "mm", "second": "ss"}
# What no file name may hold on one system or another.
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def expand(
    prefix: str, *, width: int, height: int, number: int | None, prompt: Mapping[str, Any]
) -> str:
    """`prefix` with its marks filled: %width%, %height%, %batch_num%, %year% to %second%,
    %date:yyyy-MM-dd%, and %Node.input% for a value of the node with that title or type.

    A mark that means nothing stays as it is, as in ComfyUI; %batch_num% where `number` is None, in
    the name of one file for a whole batch.
    """
    now = time.localtime()

    def fill(mark: re.Match[str]) -> str:
        name = mark.group(1)
        sizes = {"width": width, "height": height, "batch_num": number}
        if name in sizes:
            size = sizes[name]
            return mark.group(0) if size is None else str(size)
        if name in _PLAIN:
            return _date(_PLAIN[name], now)
        if name.startswith("date:"):
            return _UNSAFE.sub("_", _date(name.removeprefix("date:"), now))
        value = _node_value(name, prompt)
        return mark.group(0) if value is None else _UNSAFE.sub("_", str(value))

    return re.sub(r"%([^%]+)%", fill, prefix)


def _date(pattern: str, now: time.struct_time) -> str:
    letters = re.compile("|".join(_DATE_PARTS))
    return letters.sub(lambda part: _date_part(part.group(0), now), pattern)


def _date_part(letters: str, now: time.struct_time) -> str:
    text = time.strftime(_DATE_PARTS[letters], now)
    return text.lstrip("0") or "0" if len(letters) == 1 else text


def _node_value(name: str, prompt: Mapping[str, Any]) -> object:
    """The value of "Node.input", where Node is the title or the type of a node; None if none is."""
    node_name, dot, input_name = name.partition(".")
    if not dot:
        return None
    nodes = list(prompt.values())
    named = [node for node in nodes if node["_meta"]["title"] == node_name]
    named = named or [node for node in nodes if node["class_type"] == node_name]
    value = named[0]["inputs"].get(input_name) if len(named) == 1 else None
    return None if isinstance(value, (list, dict)) else value
