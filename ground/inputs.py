"""IN... -> files: a folder's pictures, and globs, which Windows' shells hand over as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError
from .reading import require_regular

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
)
WILD = frozenset("*?[")


@dataclass(frozen=True)
class Inputs:
    """The files that were named, each once and in that order, and a sentence for each name that
    named none."""

    files: tuple[Path, ...]
    failures: tuple[str, ...]


def find_inputs(names: Sequence[str], endings: Collection[str]) -> Inputs:
    """The files that `names` (files, folders, globs) stand for.

    A folder stands for the files directly in it that have one of `endings`, sorted by name; a glob
    for what matches it, hidden files left out.
    """
    files: dict[Path, None] = {}
    failures = []
    for name in names:
        try:
            files.update(dict.fromkeys(_files(name, endings)))
        except UserError as error:
            failures.append(str(error))
        except (OSError, ValueError) as error:
            failures.append(f"{name}: {getattr(error, 'strerror', None) or error}")
    return Inputs(tuple(files), tuple(failures))


def files_of(names: Sequence[str], endings: Collection[str] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """The files that `names` stand for. Raises UserError where one stands for none."""
    found = find_inputs(names, endings)
    if found.failures:
        raise UserError(found.failures[0], found.failures[1:])
    return found.files


def _files(name: str, endings: Collection[str]) -> Iterator[Path]:
    if not name:
        raise UserError("an input's name is empty; name a file, a folder or a glob")
    path = Path(name)
    if path.is_dir():
        yield from _inside(path, endings)
    elif path.exists():
        require_regular(path, "the file")
        yield path
    elif WILD & set(name):
        matches = sorted(_matches(path))
        if not matches:
            raise UserError(f"{name} matches no file; see how it is spelled.")
        for match in matches:
            yield from _files(str(match), endings)
    else:
        raise UserError(f"{name} is not there; name a file, a folder or a glob such as 'in/*.png'.")


def _inside(folder: Path, endings: Collection[str]) -> list[Path]:
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise UserError(f"{folder} holds no file that ends in {', '.join(sorted(endings))}.")
    return found


def _matches(pattern: Path) -> Iterator[Path]:
    base = Path(pattern.anchor)
    for path in base.glob(str(pattern.relative_to(pattern.anchor))):
        if not path.name.startswith("."):
            yield path
