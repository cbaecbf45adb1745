"""Dynamic prompts: `{a|b}` is one of the two, comments are cut.

ComfyUI's front end resolves them as it queues a prompt (`processDynamicPrompt` of its formatUtil,
1.49.6), in every text that is declared with `dynamicPrompts`. Blocks may stand in blocks; a
backslash keeps a brace or a bar; `/* */` and `//` to the end of the line are comments.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ...ground.errors import UserError

Draw: TypeAlias = Callable[[], float]
"""A number in [0, 1), as `Math.random` gives."""

Draws: TypeAlias = Callable[[str], Draw]
"""The draws for one field, by its name: `12:3.text`."""

MAX_DEPTH = 100
"""Blocks in blocks; no person writes so many."""

# Python's `.` takes the line ends that JavaScript's leaves out.
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n\r\u2028\u2029]*", re.DOTALL)
_KEPT = re.compile(r"\\([{}|])")


@dataclass
class Seeded:
    """Draws that are the same for the same seed and field, whatever else the workflow holds.

    `used` says whether anything was drawn yet.
    """

    seed: int
    used: bool = field(default=False, init=False)

    def __call__(self, place: str) -> Draw:
        """The draws of one field."""
        source = random.Random(f"{self.seed} {place}")

        def draw() -> float:
            self.used = True
            return source.random()

        return draw


@dataclass(frozen=True)
class Resolved:
    """A text without blocks, and for each outermost block of it what was chosen, in order."""

    text: str
    choices: tuple[tuple[str, str], ...] = ()


def resolve(text: str, draw: Draw) -> Resolved:
    """`text` with its blocks chosen and its comments cut. UserError over `MAX_DEPTH` blocks."""
    return _resolve(text, draw, MAX_DEPTH)


def _resolve(text: str, draw: Draw, depth: int) -> Resolved:
    if depth == 0:
        raise UserError(f"holds more than {MAX_DEPTH} {{ }} inside one another")
    reader = _Reader(_COMMENT.sub("", text))
    parts, choices = [], []
    while not reader.ended:
        piece = reader.next()
        if piece == "{":
            begin = reader.at - 1
            options = reader.options()
            chosen = _resolve(options[int(draw() * len(options))], draw, depth - 1).text
            if len(options) > 1:
                choices.append((reader.text[begin : reader.at], chosen))
            piece = chosen
        parts.append(piece)
    # Over the whole, so that what a block gave is looked at again: as the front end does.
    return Resolved(_KEPT.sub(r"\1", "".join(parts)), tuple(choices))


@dataclass
class _Reader:
    text: str
    at: int = field(default=0)

    @property
    def ended(self) -> bool:
        return self.at >= len(self.text)

    def next(self) -> str:
        """The next character, or a backslash with the one behind it."""
        found = self.text[self.at]
        self.at += 1
        if found != "\\":
            return found
        # Behind the last character the front end reads, and sends, "undefined".
        kept = "undefined" if self.ended else self.text[self.at]
        self.at += 1
        return found + kept

    def options(self) -> list[str]:
        """What stands between the bars, up to the brace that closes, or to the end."""
        options, depth = [""], 0
        while not self.ended:
            piece = self.next()
            if piece == "}" and depth == 0:
                break
            depth += {"{": 1, "}": -1}.get(piece, 0)
            if piece == "|" and depth == 0:
                options.append("")
            else:
                options[-1] += piece
        return options
