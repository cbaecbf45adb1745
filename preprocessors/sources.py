"""Files -> what a preprocessor takes (`preprocessors.spec.Takes`). Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..ground.errors import UserError
from ..ground.reading import read_bytes
from .making import Source
from .picture import Bytes, Floats
from .picture_files import colours, first_frame, on_white, pixels, transparency
from .pose.people import parse_poses
from .spec import Takes

LABELS = 256
"""Classes that a label map of bytes can tell apart."""


@dataclass(frozen=True)
class Read:
    """What a file holds: its sources (several for a pose JSON of several frames), and what a
    person should be told about it."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()


def read_sources(
    takes: Takes,
    path: Path,
    mask: Floats | None = None,
    content: bytes | None = None,
    sure: float = 0.0,
) -> Read:
    """The sources in `path` for a preprocessor that `takes` them; of poses points from `sure` on.

    Of an animated picture the first frame is read, and a picture is laid on white; depths and
    labels are numbers, whose alpha is left out. `mask` (float32, H x W, 1 where masked) stands for
    the transparency of a masked picture; `content` is the file's, where it is not on the disk and
    `path` only names it. Raises UserError, naming `path`, for a file that holds something else.
    """
    if takes == "pose":
        return Read(_poses(path, content, sure))
    frame, count = first_frame(path, content)
    notes = (f"{path} has {count} frames; the first is used",) if count > 1 else ()
    if takes == "labels":
        return Read((_labels(frame, path),), notes)
    if takes == "depth":
        return Read((_grey(frame),), notes)
    if takes == "masked picture":
        if mask is not None:  # what is transparent is then no mask, and is seen as elsewhere
            return Read(((colours(on_white(frame)), mask),), notes)
        masked = transparency(frame)
        if masked is None:
            raise UserError(
                f"{path} has no transparent part that would be painted anew; give a mask with "
                "--mask FILE, or a picture with an alpha channel."
            )
        return Read(((colours(frame), masked),), notes)
    return Read((pixels(frame),), notes)


def read_hint_picture(path: Path, content: bytes | None = None) -> Bytes | Floats:
    """A hint that a picture file holds as it is: RGB (H, W, 3), bytes, or floats in 0..1 where it
    has more steps than bytes can tell, such as depth of 16 bits. Alpha is left out, as LoadImage
    leaves it out of a hint that a picture is made by. `content` is as in `read_sources`. Raises
    UserError for a file that is no picture.
    """
    frame, _ = first_frame(path, content)
    return colours(frame) if frame.mode[0] in "IF" else np.array(frame.convert("RGB"))


def read_mask(path: Path, content: bytes | None = None) -> Floats:
    """The mask in a picture file: float32, H x W, 1 where it is transparent or, in a picture
    without transparency, white. `content` is as in `read_sources`. Raises UserError for a file that
    is no picture."""
    frame, _ = first_frame(path, content)
    masked = transparency(frame)
    return _grey(frame) if masked is None else masked


def _poses(path: Path, content: bytes | None, sure: float) -> tuple[Source, ...]:
    data = read_bytes(path, "the pose") if content is None else content
    try:
        return parse_poses(data.decode("utf-8-sig"), sure)
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text, so no OpenPose JSON; give a JSON file.") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _grey(frame: Image.Image) -> Floats:
    if frame.mode == "F":  # three times a number is rounded
        return np.asarray(frame)
    grey: Floats = colours(frame).mean(axis=2, dtype=np.float32)
    return grey


def _labels(frame: Image.Image, path: Path) -> Bytes:
    """A palette's indices, not its colours; a grey picture's levels."""
    if frame.mode in ("P", "L", "1"):
        return np.asarray(frame).astype(np.uint8)
    if frame.mode.startswith("I"):
        labels = np.asarray(frame)
        if labels.min() < 0 or labels.max() >= LABELS:
            raise UserError(
                f"{path} has labels from {labels.min()} to {labels.max()}; a label map has classes "
                f"from 0 to {LABELS - 1}."
            )
        return labels.astype(np.uint8)
    rgb = np.asarray(frame.convert("RGB"))
    if (rgb != rgb[..., :1]).any():
        raise UserError(
            f"{path} is a coloured picture; a label map holds one class number a pixel: give a "
            "grey PNG or one with a palette."
        )
    return np.ascontiguousarray(rgb[..., 0])
