"""The texts in a PNG, read without decoding its picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from ...ground.errors import UserError
from ...ground.wording import size_in_words

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 64 << 20
"""Bytes of one text, unpacked; the largest shared workflows have a few megabytes."""


def read_texts(data: bytes, source: str) -> dict[str, str]:
    """The texts of a PNG by key, of all three kinds of chunks (PNG specification, 11.3.3).

    Raises UserError, naming `source`, for a text that is damaged or unpacks to more than MAX_TEXT,
    and for a file that is cut off before any.
    """
    found: dict[str, str] = {}
    kind = b""
    for kind, body in _chunks(data):
        if kind in _READERS:
            key, _, rest = body.partition(b"\0")
            try:
                found[key.decode("latin-1")] = _READERS[kind](rest)
            except UserError as error:
                raise error.at(f"the picture {source}") from error
            except (ValueError, zlib.error) as error:
                raise UserError(f"the picture {source} holds a damaged text") from error
    if not found and kind != b"IEND":
        raise UserError(f"the picture {source} cannot be read: it is cut off")
    return found


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length  # with the checksum


def _plain(rest: bytes) -> str:
    return rest.decode("latin-1")


def _packed(rest: bytes) -> str:
    return _unpacked(rest[1:]).decode("latin-1")


def _international(rest: bytes) -> str:
    packed, (_, _, text) = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    return (_unpacked(text) if packed else text).decode("utf-8")


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, MAX_TEXT)
    if unpacker.unconsumed_tail:
        raise UserError(f"a text in it unpacks to more than {size_in_words(MAX_TEXT)}")
    return text


_READERS = {b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international}
