"""Groups of pictures, and which picture was made from which hint, told from the files' names."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...ground.errors import UserError
from ...ground.inputs import files_of
from ...ground.wording import listing

LOOSE = "pictures"
"""The name of the group of files that are given without a folder."""


@dataclass(frozen=True)
class Group:
    """Pictures that one method made, under the name that reports give it."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Row:
    """A hint and a picture of each group that was made from it, None where a group has none.

    `name` is the hint's, with a number from the second row of the same hint on.
    """

    name: str
    hint: Path
    pictures: tuple[Path | None, ...]


@dataclass(frozen=True)
class Pairing:
    """The rows in the order of the hints, and the files that found no partner."""

    rows: tuple[Row, ...]
    lone_pictures: tuple[Path, ...]
    lone_hints: tuple[Path, ...]


def groups_of(arguments: Sequence[str]) -> tuple[Group, ...]:
    """The groups that `arguments` stand for, in their order.

    A folder is a group of its name, NAME=FOLDER (or file, or glob) one of the given name, and all
    other files together are one. Raises UserError for two groups of one name, and for what is not
    there.
    """
    asked: dict[str, list[str]] = {}
    for argument in arguments:
        name, pictures = _named(argument)
        if name in asked and name != LOOSE:
            raise UserError(
                f"two groups are called {name}, {asked[name][0]} and {pictures}; name them, "
                f"such as first={asked[name][0]} second={pictures}."
            )
        asked.setdefault(name, []).append(pictures)
    return tuple(Group(name, files_of(given)) for name, given in asked.items())


def _named(argument: str) -> tuple[str, str]:
    path = Path(argument)
    if path.is_dir():
        return path.resolve().name, argument
    name, equals, pictures = argument.partition("=")
    if equals and name and pictures and not path.exists():
        return name, pictures
    return LOOSE, argument


def pair(groups: Sequence[Group], hints: Sequence[Path], endings: Collection[str] = ()) -> Pairing:
    """Match every picture with the hint it was made from.

    Names are compared without their endings; capitals do not count, nor how Unicode writes a letter
    (macOS writes é as two). A hint's name may end in
    "_" and one of `endings` (`controlstack hint` writes the preprocessor's name there).

    A picture belongs to the hint of its name; else to the longest name that its own begins with,
    before a character that is no letter or digit (garden_00001_ belongs to garden); else to the one
    hint whose name begins with its own in that way. Raises UserError where two hints have one name,
    where a picture fits several hints, and where nothing fits.
    """
    by_key = _by_key(hints, endings)
    longer = _longer(by_key)
    found: dict[str, list[list[Path]]] = defaultdict(lambda: [[] for _ in groups])
    lone: list[Path] = []
    for number, group in enumerate(groups):
        for picture in group.files:
            key = _key_of(picture, by_key, longer)
            if key is None:
                lone.append(picture)
            else:
                found[key][number].append(picture)
    rows = [row for key, hint in by_key.items() for row in _rows(key, hint, found.get(key, []))]
    if not rows:
        raise UserError(
            f"No picture has the name of a hint. Pictures: {listing(_names(lone), 5)}. Hints: "
            f"{listing(_names(hints), 5)}. Name each picture as its hint; something may follow, "
            "such as garden_00001_.png for garden.png."
        )
    lone_hints = tuple(hint for key, hint in by_key.items() if key not in found)
    return Pairing(tuple(rows), tuple(lone), lone_hints)


def spelt(name: str) -> str:
    """What a name has in common with its other spellings."""
    return unicodedata.normalize("NFC", name).lower()


def known_start(file: Path, names: Container[str]) -> str | None:
    """The one of `names` (as `spelt` has them) that `file` is called, or else the longest that its
    name begins with before a character that is no letter or digit.
    """
    stem = spelt(file.stem)
    return next((name for name in (stem, *_starts(stem)) if name in names), None)


def _by_key(hints: Sequence[Path], endings: Collection[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for hint in hints:
        stem = spelt(hint.stem)
        ends = [f"_{ending}".lower() for ending in endings if stem.endswith(f"_{ending}".lower())]
        key = stem.removesuffix(max(ends, key=len, default="")) or stem
        if key in found:
            raise UserError(
                f"{found[key]} and {hint} are both hints of {key}: keep one of them, or give them "
                "different names."
            )
        found[key] = hint
    return found


def _longer(keys: Iterable[str]) -> dict[str, list[str]]:
    """The keys that go on after each start that could be a picture's name."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        for start in _starts(key):
            found[start].append(key)
    return found


def _key_of(
    picture: Path, by_key: Mapping[str, Path], longer: Mapping[str, Sequence[str]]
) -> str | None:
    known = known_start(picture, by_key)
    if known is not None:
        return known
    fitting = longer.get(spelt(picture.stem), [])
    if len(fitting) > 1:
        raise UserError(
            f"{picture} fits several hints: {listing(_names([by_key[key] for key in fitting]), 5)}."
            " Name it as one of them."
        )
    return fitting[0] if fitting else None


def _starts(name: str) -> list[str]:
    """What stands before each character that is no letter or digit, the longest first."""
    return [name[: at.start()] for at in re.finditer(r"[\W_]", name) if at.start()][::-1]


def _rows(key: str, hint: Path, pictures: list[list[Path]]) -> list[Row]:
    count = max((len(files) for files in pictures), default=0)
    name = unicodedata.normalize("NFC", hint.stem)[: len(key)]  # with its capitals
    return [
        Row(
            name if number == 0 else f"{name} #{number + 1}",
            hint,
            tuple(files[number] if number < len(files) else None for files in pictures),
        )
        for number in range(count)
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    return [path.name for path in paths]
