"""Arguments -> groups of pictures: a folder each, loose files together, or NAME=PICTURES."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ..evaluation.files.pairing import Group
from ..ground.errors import UserError
from ..ground.wording import shown
from ..headless.folders import IMAGE_SUFFIXES
from .hint_inputs import find_inputs

LOOSE = "pictures"
"""The name of the group of files that are given without a folder."""


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
    return tuple(Group(name, files_of(given, IMAGE_SUFFIXES)) for name, given in asked.items())


def files_of(names: Sequence[str], endings: Collection[str]) -> tuple[Path, ...]:
    """The files that `names` (files, folders, globs) stand for. Raises UserError where one stands
    for none.
    """
    found = find_inputs(names, endings)
    if found.failures:
        raise UserError(found.failures[0], found.failures[1:])
    return found.files


def pairs_of(texts: Sequence[str], flag: str) -> dict[str, str]:
    """`NAME=VALUE` texts of `flag` as a mapping; a later one wins. Raises UserError for a text
    without "=".
    """
    for text in texts:
        if "=" not in text:
            raise UserError(f"{flag} {shown(text)}: write NAME=VALUE, such as low_threshold=50.")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _named(argument: str) -> tuple[str, str]:
    path = Path(argument)
    if path.is_dir():
        return path.resolve().name, argument
    name, equals, pictures = argument.partition("=")
    if equals and name and pictures and not path.exists():
        return name, pictures
    return LOOSE, argument
