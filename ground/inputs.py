"""IN... -> files: a folder's pictures, and globs, which Windows' shells hand over as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .errors import UserError
from .log import log
from .reading import require_regular
from .wording import listing

HEIF = frozenset({".heic", ".heif", ".hif"})
"""Apple's photos, which Pillow reads with another package beside it."""
PILLOW_HEIF = "python -m pip install pillow-heif"

IMAGE_SUFFIXES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".gif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".tga", ".qoi", ".jp2", ".j2k", ".j2c", ".jpf", ".jpx"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    }
) | (HEIF if find_spec("pillow_heif") else frozenset())
"""The pictures of a folder: all that the Pillow which is here reads as well as a PNG."""

OTHER_PICTURES = frozenset(
    {
        *(".heic", ".heif", ".hif", ".jxl", ".exr", ".hdr", ".psd", ".psb", ".xcf", ".kra", ".ora"),
        *(".svg", ".ico", ".icns", ".dds", ".pcx", ".sgi", ".fits", ".pdf", ".eps", ".wmf", ".emf"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    }
)
"""Pictures that are no files of a folder's run: they would be missed if nobody said so."""

WILD = frozenset("*?[")


@dataclass(frozen=True)
class Inputs:
    """The files that were named, each once and in that order, a sentence for each name that named
    none, and one for each folder with pictures that are not among them."""

    files: tuple[Path, ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_inputs(names: Sequence[str], endings: Collection[str]) -> Inputs:
    """The files that `names` (files, folders, globs) stand for.

    A folder stands for the files directly in it that have one of `endings`, sorted by name; a glob
    for what matches it, hidden files left out.
    """
    files: dict[Path, None] = {}
    failures = []
    notes: list[str] = []
    for name in names:
        try:
            files.update(dict.fromkeys(_files(name, endings, notes)))
        except UserError as error:
            failures.append(str(error))
        except (OSError, ValueError) as error:
            failures.append(f"{name}: {getattr(error, 'strerror', None) or error}")
    return Inputs(tuple(files), tuple(failures), tuple(notes))


def files_of(names: Sequence[str], endings: Collection[str] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """The files that `names` stand for; the log says what is left out of folders. Raises UserError
    where one stands for none."""
    found = find_inputs(names, endings)
    if found.failures:
        raise UserError(found.failures[0], found.failures[1:])
    for note in found.notes:
        log.warning("%s.", note)
    return found.files


def left_out(folder: Path, paths: Iterable[Path], endings: Collection[str]) -> str:
    """What is said of pictures among the `paths` in `folder` that have none of the `endings`: how
    many, which, and what helps; "" where there are none."""
    others = sorted(
        path.name
        for path in paths
        if path.suffix.lower() in OTHER_PICTURES - set(endings) and not path.name.startswith(".")
    )
    if not others:
        return ""
    heic = any(Path(name).suffix.lower() in HEIF for name in others)
    advice = [f"HEIC is read with pillow-heif ({PILLOW_HEIF})"] if heic else []
    if not all(Path(name).suffix.lower() in HEIF for name in others):
        which = "others" if heic else "it" if len(others) == 1 else "them"
        advice.append(f"save {which} as PNG")
    are = "picture is" if len(others) == 1 else "pictures are"
    return f"{len(others)} {are} left out of {folder}: {listing(others, 5)}; {', '.join(advice)}"


def _files(name: str, endings: Collection[str], notes: list[str]) -> Iterator[Path]:
    if not name:
        raise UserError("an input's name is empty; name a file, a folder or a glob")
    path = Path(name)
    if path.is_dir():
        yield from _inside(path, endings, notes)
    elif path.exists():
        require_regular(path, "the file")
        yield path
    elif WILD & set(name):
        matches = sorted(_matches(path))
        if not matches:
            raise UserError(f"{name} matches no file; see how it is spelled.")
        for match in matches:
            yield from _files(str(match), endings, notes)
    else:
        raise UserError(f"{name} is not there; name a file, a folder or a glob such as 'in/*.png'.")


def _inside(folder: Path, endings: Collection[str], notes: list[str]) -> list[Path]:
    every = list(folder.iterdir())
    found = sorted(
        path
        for path in every
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    )
    others = "" if IMAGE_SUFFIXES.isdisjoint(endings) else left_out(folder, every, endings)
    if not found:
        none = f"{folder} holds no file that ends in {', '.join(sorted(endings))}"
        raise UserError(f"{none}; {others}." if others else f"{none}.")
    if others:
        notes.append(others)
    return found


def _matches(pattern: Path) -> Iterator[Path]:
    base = Path(pattern.anchor)
    for path in base.glob(str(pattern.relative_to(pattern.anchor))):
        if not path.name.startswith("."):
            yield path
