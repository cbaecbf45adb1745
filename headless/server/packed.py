"""JSON kept small: ten thousand prompts with their canvases fit into memory."""

from __future__ import annotations

import json
import zlib
from typing import Any


def text_of(value: Any) -> str:
    """`value` as JSON on one line; what JSON cannot hold stands there as its Python text."""
    return json.dumps(value, default=str, separators=(",", ":"))


def pack(text: str) -> bytes:
    """`text`, a tenth as large where it is JSON."""
    return zlib.compress(text.encode(), 1)


def unpack(data: bytes) -> str:
    """The text of `pack`."""
    return zlib.decompress(data).decode()
