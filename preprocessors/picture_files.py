"""Picture files as Pillow reads them: frames, their colours, what is transparent. No torch."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, ImageSequence, UnidentifiedImageError

from ..ground.errors import UserError

# All frames together; a float32 RGB batch of this many pixels takes 1.6 GB.
MAX_PIXELS = 2**27

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations by which a picture lies on its side."""


def read_frames(path: Path) -> list[Image.Image]:
    """Every frame of a picture file, decoded and upright.

    Raises UserError for a file that is no picture, is cut off, or has more than MAX_PIXELS pixels.
    """
    return _read(path, only_first=False)[0]


def first_frame(path: Path, content: bytes | None = None) -> tuple[Image.Image, int]:
    """The first frame of a picture file, decoded and upright, and how many frames it has.

    `content` is the file's, where it is not on the disk and `path` only names it. Raises UserError
    as `read_frames` does; later frames do not count as pixels.
    """
    frames, count = _read(path, only_first=True, content=content)
    return frames[0], count


def upright_size(path: Path, content: bytes | None = None) -> tuple[int, int]:
    """Width and height of a picture file, told from its header alone.

    `content` is as in `first_frame`. Raises UserError for a file that is no picture, or has more
    than MAX_PIXELS pixels.
    """
    with _opened(path, content) as image:
        _check_size(path, image, 1)
        # A PNG without EXIF would be decoded in search of it.
        turned = (image.format != "PNG" or "exif" in image.info) and image.getexif().get(
            ExifTags.Base.Orientation, 1
        ) in SIDEWAYS
        return (image.height, image.width) if turned else image.size


def _read(
    path: Path, only_first: bool, content: bytes | None = None
) -> tuple[list[Image.Image], int]:
    with _opened(path, content) as image:
        # A JPEG of several pictures (MPO) is its first; the others are other views of it.
        count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        wanted = 1 if only_first else count
        _check_size(path, image, wanted)
        every = itertools.islice(ImageSequence.Iterator(image), wanted)
        return [ImageOps.exif_transpose(frame) for frame in every], count


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image.Image]:
    """The file opened; what goes wrong with it in the block is a UserError that names it."""
    file = path if content is None else io.BytesIO(content)
    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            # Pillow warns above its own limit; ours is said by _check_size.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield image
    except UserError:
        raise
    # Broken files make Pillow's readers raise almost anything.
    except Exception as error:
        system = error.strerror if isinstance(error, OSError) else None
        known = not isinstance(error, UnidentifiedImageError)
        reason = system or (_quoted(str(error)) if known else "it is in no format of pictures")
        raise UserError(f"{path} cannot be read as a picture: {reason}") from error


def colours(frame: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) in 0..1.

    A 16-bit grey picture, such as a depth map, keeps its steps; the core cuts it to 8 bits, or
    with newer Pillows to white.
    """
    if frame.mode.startswith("I"):
        grey = np.asarray(frame, dtype=np.float32) / 65535.0
        return np.repeat(grey.clip(0.0, 1.0)[..., None], 3, axis=-1)
    return np.asarray(frame.convert("RGB"), dtype=np.float32) / np.float32(255.0)


def transparency(frame: Image.Image) -> NDArray[np.float32] | None:
    """1 where transparent, (H, W); None for a picture that has no transparency.

    As in the core, that is an alpha channel, or a palette with transparent colours.
    """
    palette = frame.mode == "P" and "transparency" in frame.info
    return transparent(frame) if palette or "A" in frame.getbands() else None


def transparent(frame: Image.Image) -> NDArray[np.float32]:
    """1 where transparent, (H, W): zeros for a picture that has no transparency."""
    alpha = frame.convert("RGBA").getchannel("A")
    return np.float32(1.0) - np.asarray(alpha, dtype=np.float32) / np.float32(255.0)


def _quoted(text: str, limit: int = 200) -> str:
    """`text` on one line, whatever a library put into it."""
    quoted = repr(text)
    return quoted if len(quoted) <= limit else quoted[: limit - 3] + "..."


def _check_size(path: Path, image: Image.Image, count: int) -> None:
    if image.width * image.height * count > MAX_PIXELS:
        raise UserError(
            f"the picture {path} has {image.width} x {image.height} pixels in {count} frames; at "
            f"most {MAX_PIXELS / 1e6:.0f} million pixels can be read"
        )
