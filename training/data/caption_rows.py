"""Rows told by names alone: a caption beside each picture, as kohya's sd-scripts have it, and hints
beside them or in a folder of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ...ground.errors import UserError
from ...ground.inputs import left_out
from ...ground.wording import shown
from ..settings import DataSettings
from .captions import caption_in
from .condition import looks_for_hints
from .file_names import typed
from .row import PICTURES, POSES, Bad, File, Row, Rows

CAPTIONS = (".txt", ".caption")
"""sd-scripts' own default is .caption, and what people use is .txt:
https://github.com/kohya-ss/sd-scripts/blob/main/docs/config_README-en.md"""

PICTURE_FOLDERS = ("images", "image")
HINT_FOLDERS = ("hints", "conditioning_images", "conditioning_image", "conditioning")
BESIDE = "_hint"
"""What the name of a hint ends with that lies beside its picture."""


def has_captions(folder: Path) -> bool:
    """Whether a picture with its caption is in `folder`, or in its folder of pictures."""
    return any(_caption(path) is not None for path in _files(_pictures_in(folder), PICTURES))


def read_captioned(folder: Path, settings: DataSettings) -> Rows:
    """A row for each picture in `folder` or in its folder of pictures, by the order of their names.

    A picture's caption has its name and the ending .txt or .caption. Its hint has its name in the
    folder of hints (`hint_folder`, or one of HINT_FOLDERS), or its name with "_hint" beside it; it
    is a picture or an OpenPose JSON. Folders below are read, too. Raises UserError for a folder
    without pictures, and for a hint_folder that is none.
    """
    pictures = _pictures_in(folder)
    hints = _hint_folder(folder, pictures, settings)
    inner = [pictures / name for name in HINT_FOLDERS] + ([hints] if hints is not None else [])
    names = _by_name(pictures, PICTURES, inner)
    drawings = {} if hints is None else _by_name(hints, (*PICTURES, POSES), [])
    beside = _by_name(pictures, (*PICTURES, POSES), inner)
    rows = {name: files for name, files in names.items() if not _is_beside(name, names)}
    others = left_out(pictures, _every(pictures), PICTURES)
    if not rows:
        raise UserError(
            f"{pictures} has no pictures ({', '.join(PICTURES)}); name the folder that has them."
            + (f" {others}." if others else "")
        )
    found = {
        name: drawings.get(name, []) if hints is not None else beside.get(name + BESIDE, [])
        for name in rows
    }
    if not looks_for_hints(settings):
        found = {name: [] for name in rows}
    elif hints is not None and not any(found.values()) and (drawings or settings.hint_folder):
        raise _none_fits(hints, drawings, rows)
    given = any(found.values())
    made = (_row(name, files, found[name], given) for name, files in sorted(rows.items()))
    return replace(Rows.of("captions", str(folder), made), left_out=others)


def _row(name: str, pictures: list[Path], hints: list[Path], given: bool) -> Row | Bad:
    picture = pictures[0]
    if len(pictures) > 1 or len(hints) > 1:
        same = pictures if len(pictures) > 1 else hints
        return Bad(name, f"{same[0].name} and {same[1].name} have one name; keep one of them")
    caption = _caption(picture)
    if caption is None:
        return Bad(name, f"no caption: {picture.with_suffix(CAPTIONS[0])} is not there")
    if given and not hints:
        return Bad(name, f"no hint for {picture}")
    try:
        text = caption_in(caption)
    except UserError as error:
        return Bad.of(name, error)
    return Row(name, File(picture), File(hints[0]) if hints else None, (text,))


def _none_fits(folder: Path, hints: Iterable[str], pictures: Iterable[str]) -> UserError:
    """What is said of a folder of hints that belong to no picture."""
    names = sorted(hints)
    if not names:
        return UserError(f"{folder} has no hints: neither pictures nor an OpenPose JSON")
    return UserError(
        f"none of the {len(names)} hints in {folder} has the name of a picture: there are hints "
        f"such as {shown(names[0])} and pictures such as {shown(min(pictures))}. A hint has its "
        "picture's name, with the folders it is in and without the ending"
    )


def _pictures_in(folder: Path) -> Path:
    return next((folder / name for name in PICTURE_FOLDERS if (folder / name).is_dir()), folder)


def _hint_folder(folder: Path, pictures: Path, settings: DataSettings) -> Path | None:
    if settings.hint_folder:
        chosen = typed(settings.hint_folder, "hint_folder")
        for place in (folder / chosen, chosen):
            if place.is_dir():
                return place
        raise UserError(f"hint_folder is {chosen}, which is no folder here and none in {folder}.")
    places = (parent / name for parent in (folder, pictures) for name in HINT_FOLDERS)
    return next((place for place in places if place.is_dir()), None)


def _caption(picture: Path) -> Path | None:
    files = (picture.with_suffix(ending) for ending in CAPTIONS)
    return next((file for file in files if file.exists()), None)


def _by_name(
    folder: Path, endings: Iterable[str], without: Iterable[Path]
) -> Mapping[str, list[Path]]:
    """Files by their name inside `folder` without the ending, those in `without` left out."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _files(folder, endings):
        if not any(inner in path.parents for inner in without):
            found[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return found


def _files(folder: Path, endings: Iterable[str]) -> list[Path]:
    wanted = set(endings)
    return sorted(path for path in _every(folder) if path.suffix.lower() in wanted)


def _every(folder: Path) -> list[Path]:
    """What is in `folder` and below it and not hidden."""
    if not folder.is_dir():
        return []
    try:
        return [path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder))]
    except OSError as error:
        raise UserError(f"{folder} cannot be listed: {error.strerror or error}") from error


def _is_hidden(path: Path) -> bool:
    """As macOS leaves "._photo.png" beside photo.png on other systems' disks."""
    return any(part.startswith(".") for part in path.parts)


def _is_beside(name: str, names: Mapping[str, list[Path]]) -> bool:
    return name.endswith(BESIDE) and name.removesuffix(BESIDE) in names
