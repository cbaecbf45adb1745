"""Captions of a row: read, drawn from, and compared with what a text encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...ground.errors import UserError
from ...ground.reading import read_text
from ...ground.structured import is_text
from ...ground.wording import shown
from ..chance import number

LONGEST = 1 << 16
"""Bytes of a caption: far above any, and a tokenizer takes a word of this length in good time."""

MARKS = 2
"""Tokens of a prompt that are none of its words: CLIP marks both ends."""


@dataclass(frozen=True)
class Room:
    """The most `tokens` that a text encoder reads of a caption, and who counts those of prompts;
    without the marks at their ends.
    """

    tokens: int
    count: Callable[[Sequence[str]], Sequence[int]]


def captions_of(value: object, column: str) -> tuple[str, ...]:
    """The texts of a table's cell: a text, or a list of them of which each step draws one.

    Raises UserError, naming the `column`, for what is neither.
    """
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            found = "null" if text is None else shown(text)
            part = f"a list with {found}" if isinstance(value, list) else found
            raise UserError(f"no caption: {column} is {part}")
        if not is_text(text):
            raise UserError(f"{column} {shown(text)} holds half of a surrogate pair")
        if len(text) > LONGEST:
            raise UserError(f"{column} has {len(text)} letters; at most {LONGEST} are read")
    if not texts:
        raise UserError(f"no caption: {column} is an empty list")
    return tuple(texts)


def caption_in(file: Path) -> str:
    """The caption in a text file, on one line. Raises UserError for what is no such file."""
    return " ".join(read_text(file, "the caption", LONGEST).split())


def drawn(captions: Sequence[str], seed: int) -> str:
    """The caption that `seed` draws, the one and only where there is one."""
    return captions[number(seed, "caption") % len(captions)]


def long_captions(rows: Iterable[Sequence[str]], room: Room) -> tuple[str, ...]:
    """What a person should know of captions that are longer than their `room`; nothing where none
    is.
    """
    # A token has a byte or more; few of a data set's captions have to be counted.
    texts = [[one for one in captions if 2 * len(one.encode()) > room.tokens] for captions in rows]
    longest = [max(room.count(few)) for few in texts if few]
    long = sum(length > room.tokens for length in longest)
    if not long:
        return ()
    rows_are = "caption of 1 row is" if long == 1 else f"captions of {long} rows are"
    return (
        f"the {rows_are} longer than the {room.tokens} tokens that a text encoder reads (the "
        f"longest has {max(longest)}); what is beyond is cut off",
    )
