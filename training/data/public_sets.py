"""Public data sets, from a local copy in their own format, as rows of the layout imagefolder.

COCO: https://cocodataset.org/#format-data (captions). ADE20K: the copy for scene parsing,
http://sceneparsing.csail.mit.edu (ADEChallengeData2016).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...ground.atomic import new_folder
from ...ground.errors import UserError
from ...ground.progress import Progress, unseen
from ...ground.reading import read_text, require_regular
from ...ground.structured import is_text, read_json
from ...ground.wording import listing, shown
from ...preprocessors.ade20k import ADE20K
from ...preprocessors.sources import read_sources
from .file_names import Inside
from .row import PICTURES
from .table_rows import METADATA

TABLE = METADATA[0]
CATEGORIES = "sceneCategories.txt"
NO_SCENE = ("misc", "outliers")
"""What ADE20K calls pictures of no scene that has a name."""
SHARE = 0.01
"""Of a picture's pixels: what covers less is not worth a word of its text."""


@dataclass(frozen=True)
class Entry:
    """A row to be written: files as they lie, and texts of which a training draws one."""

    picture: Path
    texts: tuple[str, ...]
    hint: Path | None = None


@dataclass(frozen=True)
class Found:
    """What a local copy holds, and what a person should know of what it does not."""

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def coco_captions(annotations: Path, images: Path) -> Found:
    """The pictures of `images` with all the captions that COCO's file `annotations`
    (captions_train2017.json) has for each, in the order of its list of pictures.

    Raises UserError for another file, and where none of its pictures is there.
    """
    told: Any = read_json(read_text(annotations, "the captions"), str(annotations), "set of COCO")
    texts: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    try:
        for one in told["annotations"]:
            text = " ".join(one["caption"].split())
            if text:
                texts.setdefault(one["image_id"], []).append(text)
        for one in told["images"]:
            names[one["id"]] = str(one["file_name"])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{annotations} is not COCO's file of captions: it needs images with id and file_name, "
            "and annotations with image_id and caption, as captions_train2017.json has them"
        ) from error
    if not images.is_dir():
        raise UserError(f"{images} is no folder; name the one with the pictures, as train2017")
    inside = Inside(images)
    entries, missing = [], []
    mute = sum(key not in texts for key in names)
    for key, name in names.items():
        if key in texts:
            try:
                entries.append(Entry(inside.file(name, "file_name"), tuple(texts[key])))
            except UserError as error:
                missing.append(error.sentence)
    if not entries:
        why = missing[0] if missing else "it has no picture with a caption"
        raise UserError(f"no picture of {annotations} can be used: {why}")
    notes = [f"{len(missing)} pictures are left out: {missing[0]}"] if missing else []
    if mute:
        notes.append(f"{mute} pictures have no caption and are left out")
    return Found(tuple(entries), tuple(notes))


def ade20k(folder: Path, split: str, labels: bool, progress: Progress = unseen) -> Found:
    """The pictures of ADEChallengeData2016's `split` ("training", "validation") with their label
    maps as hints (0 is unlabelled, 1 to 150 are classes).

    ADE20K has no captions. A text is the name of the picture's scene ("airport terminal"), which
    some pictures lack; with `labels` also those of the classes on it, the largest first. What
    has no text at all has the empty one. Raises UserError for another folder.
    """
    images, maps = folder / "images" / split, folder / "annotations" / split
    for place in (images, maps):
        if not place.is_dir():
            raise UserError(
                f"{place} is no folder; name the folder ADEChallengeData2016, which has images/ "
                "and annotations/ (the full ADE20K has another format)"
            )
    scenes = _scenes(folder / CATEGORIES)
    pictures = sorted(path for path in images.iterdir() if path.suffix.lower() in PICTURES)
    entries, missing, nameless = [], [], 0
    with progress(len(pictures), "reading ADE20K") as bar:
        for picture in pictures:
            bar.advance()
            hint = maps / f"{picture.stem}.png"
            if not hint.is_file():
                missing.append(hint.name)
                continue
            scene = scenes.get(picture.stem, "")
            nameless += not scene
            words = [scene] if scene else []
            text = ", ".join(words + (_classes(hint) if labels else []))
            entries.append(Entry(picture, (text,), hint))
    if not entries:
        raise UserError(f"{images} has no picture with a label map in {maps}")
    notes = []
    if missing:
        notes.append(f"{len(missing)} pictures have no label map, such as {missing[0]}")
    if nameless:
        notes.append(f"{nameless} of {len(entries)} pictures are of no named scene")
    return Found(tuple(entries), tuple(notes))


def _scenes(file: Path) -> dict[str, str]:
    """Words for each picture's scene; those without a name are left out."""
    scenes = {}
    for line in read_text(file, "the list of scenes").splitlines():
        name, _, scene = line.strip().partition(" ")
        if scene.strip() and scene.strip() not in NO_SCENE:
            scenes[name] = " ".join(scene.replace("_", " ").replace("/", " ").split())
    return scenes


def _classes(hint: Path) -> list[str]:
    """The names of the classes on a label map that cover SHARE of it, the largest first."""
    labels: Any = read_sources("labels", hint).sources[0]
    counts = Counter(dict(enumerate(np.bincount(labels.ravel(), minlength=1).tolist())))
    wanted = [number for number, count in counts.most_common() if count >= SHARE * labels.size]
    return [ADE20K[number - 1][0] for number in wanted if 1 <= number <= len(ADE20K)]


def write_set(
    found: Found, out: Path, copies: bool = False, progress: Progress = unseen
) -> tuple[Path, bool]:
    """Write what was `found` as the new folder `out`: its table, and with `copies` the files.

    The table, and whether a training needs `outside` for it: it names files where they lie. Raises
    UserError where the folder is there already or cannot be written, and for two files of one name.
    """
    rows = [_row(entry, copies) for entry in found.entries]
    names = Counter(name for row in rows for key, name in row.items() if key != "text")
    if copies and (twice := [str(name) for name, times in names.items() if times > 1]):
        raise UserError(f"two files would be {listing(twice, 3)}; they cannot be copied together")
    with new_folder(out, empty=True) as folder:
        if copies:
            with progress(len(rows), "copying pictures") as bar:
                for entry, row in zip(found.entries, rows, strict=True):
                    for path, key in ((entry.picture, IMAGE), (entry.hint, HINT)):
                        if path is not None:
                            require_regular(path, "the file")
                            target = folder / str(row[key])
                            target.parent.mkdir(exist_ok=True)
                            shutil.copyfile(path, target)
                    bar.advance()
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / TABLE, not copies


IMAGE, HINT = "file_name", "conditioning_image_file_name"


def _row(entry: Entry, copies: bool) -> dict[str, Any]:
    def named(path: Path, folder: str) -> str:
        name = f"{folder}/{path.name}" if copies else path.absolute().as_posix()
        if not is_text(name):
            raise UserError(f"{shown(name)} is no name in UTF-8; rename it")
        return name

    row: dict[str, Any] = {IMAGE: named(entry.picture, "images")}
    if entry.hint is not None:
        row[HINT] = named(entry.hint, "hints")
    texts: Sequence[str] = entry.texts
    return {**row, "text": texts[0] if len(texts) == 1 else list(texts)}
