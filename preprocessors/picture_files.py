"""Picture files as Pillow reads them: frames, their colours, what is transparent. No torch."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, ImageSequence, UnidentifiedImageError

from ..ground.errors import UserError
from ..ground.memory import require_memory
from ..ground.reading import require_regular
from ..ground.wording import shown
from .picture import Floats

# All frames together; a float32 RGB batch of this many pixels takes 1.6 GB.
MAX_PIXELS = 2**27
MAX_FILE = 2 << 30
"""The largest file of a picture, in bytes: MAX_PIXELS in the widest type there is."""
DECODED = 8
"""Bytes that a pixel takes while a file is decoded: as it lies in the file, and turned upright."""

_TOO_MANY = f"more than the {MAX_PIXELS / 1e6:.0f} million pixels that can be read"

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations by which a picture lies on its side."""


def read_frames(path: Path, pixel_bytes: int = DECODED) -> list[Image.Image]:
    """Every frame of a picture file, decoded and upright.

    `pixel_bytes` is what the caller will take for each pixel. Raises UserError for a file that is
    no picture, is cut off, has colours that are none (TIFF knows some), more than MAX_PIXELS
    pixels, or more than fit into memory.
    """
    return _read(path, only_first=False, pixel_bytes=pixel_bytes)[0]


def first_frame(path: Path, content: bytes | None = None) -> tuple[Image.Image, int]:
    """The first frame of a picture file, decoded and upright, and how many frames it has.

    `content` is the file's, where it is not on the disk and `path` only names it. Raises UserError
    as `read_frames` does; later frames do not count as pixels.
    """
    frames, count = _read(path, only_first=True, content=content)
    return frames[0], count


def upright_header(path: Path, content: bytes | None = None) -> tuple[tuple[int, int], bool]:
    """Width and height of a picture file, told from its header alone, and whether it may be
    transparent: it has an alpha channel, or a palette with transparent colours.

    `content` is as in `first_frame`. Raises UserError for a file that is no picture, or has more
    than MAX_PIXELS pixels.
    """
    with _opened(path, content) as image:
        _check_size(path, image, 1, 0)
        # A PNG without EXIF would be decoded in search of it.
        turned = (image.format != "PNG" or "exif" in image.info) and image.getexif().get(
            ExifTags.Base.Orientation, 1
        ) in SIDEWAYS
        size = (image.height, image.width) if turned else image.size
        return size, "A" in image.getbands() or "transparency" in image.info


def _read(
    path: Path, only_first: bool, content: bytes | None = None, pixel_bytes: int = DECODED
) -> tuple[list[Image.Image], int]:
    with _opened(path, content) as image:
        # A JPEG of several pictures (MPO) is its first; the others are other views of it.
        count = 1 if image.format == "MPO" else max(1, getattr(image, "n_frames", 1))
        wanted = 1 if only_first else count
        _check_size(path, image, wanted, pixel_bytes)
        frames = []
        for frame in itertools.islice(ImageSequence.Iterator(image), wanted):
            _check_size(path, frame, wanted, pixel_bytes)  # pages of a TIFF differ in size
            frames.append(_upright(frame))
        # A PSD without layers counts no frames, and yet is a picture.
        return frames or [_upright(image)], count


def _upright(frame: Image.Image) -> Image.Image:
    if not _is_deep(frame):
        Image.new(frame.mode, (1, 1)).convert("RGBA")  # raises for modes that are no colours
    return ImageOps.exif_transpose(frame)


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image.Image]:
    """The file opened; what goes wrong with it in the block is a UserError that names it."""
    file = path if content is None else io.BytesIO(content)
    try:
        if content is None:  # Pillow would wait for a pipe's writer
            require_regular(path, "the picture")
        with warnings.catch_warnings():
            # What Pillow warns of (sizes, EXIF, palettes) is said by us or changes nothing.
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"the picture {path} has {_TOO_MANY}") from error
    # Broken files make Pillow's readers raise almost anything.
    except Exception as error:
        system = error.strerror if isinstance(error, OSError) else None
        known = not isinstance(error, UnidentifiedImageError)
        reason = system or (shown(str(error), 200) if known else "it is in no format of pictures")
        raise UserError(f"{path} cannot be read as a picture: {reason}") from error


def _is_deep(frame: Image.Image) -> bool:
    """16-bit grey, which Pillow counts as whole numbers."""
    return frame.mode.startswith("I")


def _as(mode: str, frame: Image.Image) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes with transparency, which are read rightly
        return frame.convert(mode)


def colours(frame: Image.Image) -> Floats:
    """(H, W, 3) in 0..1.

    A 16-bit grey picture, such as a depth map, keeps its steps; the core cuts it to 8 bits, or
    with newer Pillows to white.
    """
    if _is_deep(frame):
        grey = np.asarray(frame, dtype=np.float32) / 65535.0
        return np.repeat(grey.clip(0.0, 1.0)[..., None], 3, axis=-1)
    return _in_unit(_as("RGB", frame))


def transparency(frame: Image.Image) -> Floats | None:
    """1 where transparent, (H, W); None for a picture that has no transparency.

    As in the core, that is an alpha channel, or a palette with transparent colours.
    """
    palette = frame.mode == "P" and "transparency" in frame.info
    return transparent(frame) if palette or "A" in frame.getbands() else None


def transparent(frame: Image.Image) -> Floats:
    """1 where transparent, (H, W): zeros for a picture that has no transparency."""
    if _is_deep(frame):  # Pillow has no way from it to RGBA, and such a picture is opaque
        return np.zeros((frame.height, frame.width), np.float32)
    alpha = _as("RGBA", frame).getchannel("A")
    return np.float32(1.0) - _in_unit(alpha)


def _in_unit(picture: Image.Image) -> Floats:
    """Bytes as floats in 0..1."""
    values = np.array(picture, dtype=np.float32)
    values /= np.float32(255.0)
    return values


def _check_size(path: Path, image: Image.Image, count: int, pixel_bytes: int) -> None:
    pixels = image.width * image.height * count
    if pixels > MAX_PIXELS:
        raise UserError(
            f"the picture {path} has {image.width} x {image.height} pixels in {count} frames, "
            f"{_TOO_MANY}"
        )
    size = f"{image.width} x {image.height} pixels"
    require_memory(pixels * pixel_bytes, f"the picture {path} of {size} in {count} frames")
