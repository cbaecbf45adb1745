"""Hints as PNG files, and the names of those files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..spec import Hint


def encode_hint(hint: Hint, deep: bool = False) -> bytes:
    """A hint (H x W x 3) as PNG: 8 bits a channel, or for a grey one 16 if it shall be `deep`.

    Eight bits hold no -1: pixels with a negative value become transparent black, so that the file
    is a masked picture again. Values over 1 become white.
    """
    stream = BytesIO()
    Image.fromarray(_deep(hint) if deep else _pixels(hint)).save(stream, "PNG", compress_level=4)
    return stream.getvalue()


def free_names(
    sources: Sequence[Path], name: str, folder: Path, taken: Iterable[Path]
) -> Iterator[Path]:
    """For each of `sources` its hint's file without an ending: `folder / <stem>_<name>`.

    Where an earlier source has that name, or one of the files `taken` has it, a number follows.
    Names that differ only in case count as one, as on Windows and macOS.
    """
    used = {str(path.with_suffix("").absolute()).casefold() for path in taken}
    for source in sources:
        wanted = chosen = folder / f"{source.stem}_{name}"
        number = 1
        while (key := str(chosen.absolute()).casefold()) in used:
            number += 1
            chosen = wanted.with_name(f"{wanted.name}_{number}")
        used.add(key)
        yield chosen


def _pixels(hint: Hint) -> NDArray[np.uint8]:
    if hint.dtype == np.uint8:
        return hint.astype(np.uint8, copy=False)
    pixels: NDArray[np.uint8] = (hint.clip(0, 1) * 255).round().astype(np.uint8)
    masked = (hint < 0).any(axis=2)
    if not masked.any():
        return pixels
    alpha = np.where(masked, 0, 255).astype(np.uint8)
    return np.dstack((pixels, alpha))


def _deep(hint: Hint) -> NDArray[np.uint16]:
    grey = hint[..., 0].astype(np.float64) / (255 if hint.dtype == np.uint8 else 1)
    levels: NDArray[np.uint16] = (grey.clip(0, 1) * 65535).round().astype(np.uint16)
    return levels
