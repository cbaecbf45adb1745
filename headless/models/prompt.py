"""Prompt text to weighted tokens in chunks of 77, by ComfyUI's rules for CLIP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from ...ground.errors import UserError
from ...ground.wording import shown

EMPHASIS = 1.1  # what a pair of parentheses without a number multiplies by
WORD_TOKENS = 8  # groups shorter than this are not torn apart at the end of a chunk
MAX_NESTING = 100
MOST = 1e15
"""The largest weight. A text's values are some tens, norms square what comes of them, and beyond
1e38 float32 has only infinity."""
_ESCAPES = {"\\(": "\x00", "\\)": "\x01"}  # while parsing, so that they do not count

Token: TypeAlias = "int | Tensor"
"""A number of the vocabulary, or the vector (C,) that stands in its place."""
Weighted = tuple[Token, float]


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, as far as chunking needs one."""

    tokens_of: Callable[[str], Sequence[int]]  # without the special tokens
    start: int
    end: int
    pad: int


def parse(text: str) -> list[tuple[str, float]]:
    """Split a prompt into (text, weight): `(a:1.3)` weighs 1.3, `(a)` 1.1 times what is around it.

    A number replaces the weight around it; parentheses after a backslash are text; those without a
    partner are text too. Raises UserError for a weight that is no finite number, and for nesting
    deeper than `MAX_NESTING`.
    """
    for written, kept in _ESCAPES.items():
        text = text.replace(written, kept)
    return [(_unescaped(piece), weight) for piece, weight in _weigh(text, 1.0, 0)]


def chunks(
    weighted: Sequence[tuple[str | Sequence[Tensor], float]], vocabulary: Vocabulary, length: int
) -> list[list[Weighted]]:
    """Tokens with their weights in rows of `length`, each begun, ended and padded; at least one.

    Pieces are texts, or vectors that are tokens already.
    The tokens of a piece stay together when they are fewer than `WORD_TOKENS`: what no longer fits
    moves to the next row whole.
    """
    rows: list[list[Weighted]] = [[]]
    room = length - 2  # beside the start and the end
    for piece, weight in weighted:
        tokens = vocabulary.tokens_of(piece) if isinstance(piece, str) else piece
        group: list[Weighted] = [(token, weight) for token in tokens]
        tears = len(group) >= WORD_TOKENS
        while group:
            free = room - len(rows[-1])
            if len(group) <= free:
                rows[-1] += group
                break
            if tears:
                rows[-1] += group[:free]
                group = group[free:]
            rows.append([])
    return [_framed(row, vocabulary, length) for row in rows]


def _framed(row: list[Weighted], vocabulary: Vocabulary, length: int) -> list[Weighted]:
    framed: list[Weighted] = [(vocabulary.start, 1.0), *row, (vocabulary.end, 1.0)]
    return [*framed, *[(vocabulary.pad, 1.0)] * (length - len(framed))]


def _weigh(text: str, around: float, nesting: int) -> Iterator[tuple[str, float]]:
    if nesting > MAX_NESTING:
        raise UserError(
            f"The prompt nests parentheses more than {MAX_NESTING} deep; take some of them away."
        )
    for piece in _pieces(text):
        if len(piece) >= 2 and piece[0] == "(" and piece[-1] == ")":
            inner, weight = _number(piece[1:-1], around * EMPHASIS)
            yield from _weigh(inner, weight, nesting + 1)
        else:
            yield piece, around


def _number(inner: str, otherwise: float) -> tuple[str, float]:
    """Split `text:1.3` at its last colon; without a number there, the text stays whole."""
    text, colon, number = inner.rpartition(":")
    if not (colon and text):
        return inner, otherwise
    try:
        weight = float(number)
    except ValueError:
        return inner, otherwise
    if not abs(weight) <= MOST:
        raise UserError(
            f"The prompt weighs {shown(text)} with {shown(number)}; use a number like 1.2, at most "
            f"{MOST:g}."
        )
    return text, weight


def _pieces(text: str) -> Iterator[str]:
    """Cut before an opening parenthesis on the outermost level and after its partner."""
    depth = start = 0
    for index, character in enumerate(text):
        if character == "(":
            if depth == 0 and index > start:
                yield text[start:index]
                start = index
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                yield text[start : index + 1]
                start = index + 1
    if start < len(text):
        yield text[start:]


def _unescaped(text: str) -> str:
    for written, kept in _ESCAPES.items():
        text = text.replace(kept, written[1])
    return text
