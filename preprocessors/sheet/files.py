"""Hints as PNG files, and the names of those files."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...ground.ours import SOFTWARE
from ...ground.places import identity
from ..picture import Bytes
from ..spec import Hint

ENDINGS = (".png", ".json")
"""Of a hint's files: the hint, and the people in it."""


def encode_hint(hint: Hint, deep: bool = False) -> bytes:
    """A hint (H x W x 3) as PNG: 8 bits a channel, or for a grey one 16 if it shall be `deep`.

    Eight bits hold no -1: pixels with a negative value become transparent black, so that the file
    is a masked picture again. Values over 1 become white.
    """
    return encode_ours(Image.fromarray(_deep(hint) if deep else _pixels(hint)), compress_level=4)


def encode_ours(picture: Image.Image, **options: int | bool) -> bytes:
    """A picture as PNG with the mark by which we know our own files; `options` are Pillow's."""
    mark, stream = PngInfo(), BytesIO()
    mark.add_text("Software", SOFTWARE)
    picture.save(stream, "PNG", pnginfo=mark, **options)
    return stream.getvalue()


def free_names(
    sources: Sequence[Path], name: str, folder: Path, taken: Iterable[Path]
) -> Iterator[Path]:
    """For each of `sources` its hint's file without an ending: `folder / <stem>_<name>`.

    Where an earlier source has that name, or one of the files `taken` has it or is it by another
    name, a number follows. Names that differ only in case, or in how Unicode writes a letter, count
    as one, as on Windows and macOS.
    """
    taken = list(taken)
    used = {_key(path.with_suffix("")) for path in taken}
    theirs = {identity(path) for path in taken}
    for source in sources:
        wanted = chosen = folder / f"{source.stem}_{name}"
        number = 1
        while (key := _key(chosen)) in used or any(
            identity(chosen.with_name(chosen.name + ending)) in theirs for ending in ENDINGS
        ):
            number += 1
            chosen = wanted.with_name(f"{wanted.name}_{number}")
        used.add(key)
        yield chosen


def _key(path: Path) -> Hashable:
    return os.path.realpath(path.parent), unicodedata.normalize("NFC", path.name).casefold()


def in_bytes(hint: Hint) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """A hint (H x W x 3) in bytes, and where it is masked (H x W): below 0."""
    if hint.dtype == np.uint8:
        return hint.astype(np.uint8, copy=False), np.zeros(hint.shape[:2], bool)
    masked: npt.NDArray[np.bool_] = np.asarray((hint < 0).any(axis=2))
    return (hint.clip(0, 1) * 255).round().astype(np.uint8), masked


def _pixels(hint: Hint) -> Bytes:
    pixels, masked = in_bytes(hint)
    return (
        np.dstack((pixels, np.where(masked, 0, 255).astype(np.uint8))) if masked.any() else pixels
    )


def _deep(hint: Hint) -> npt.NDArray[np.uint16]:
    grey = hint[..., 0].astype(np.float64) / (255 if hint.dtype == np.uint8 else 1)
    levels: npt.NDArray[np.uint16] = (grey.clip(0, 1) * 65535).round().astype(np.uint16)
    return levels
