"""Picture files as Pillow reads them: frames, their colours, what is transparent. No torch."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, ImageSequence, UnidentifiedImageError

from ..ground.errors import UserError
from ..ground.inputs import PILLOW_HEIF
from ..ground.memory import require_memory
from ..ground.reading import require_regular
from ..ground.wording import shown
from .picture import Bytes, Floats

# All frames together; a float32 RGB batch of this many pixels takes 1.6 GB.
MAX_PIXELS = 2**27
MAX_FILE = 2 << 30
"""The largest file of a picture, in bytes: MAX_PIXELS in the widest type there is."""
DECODED = 8
"""Bytes that a pixel takes while a file is decoded: as it lies in the file, and turned upright."""

_TOO_MANY = f"more than the {MAX_PIXELS / 1e6:.0f} million pixels that can be read"

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations by which a picture lies on its side."""

WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
"""Pillow's modes with an alpha channel; a small a means that colours are multiplied by it."""

HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))

BEGINNINGS = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
}
"""The first bytes of a file, and the format that they stand for."""

DEEPEST = 65535
"""White in whole numbers: those of 16 bits."""


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
    as `read_frames` does, and for numbers that are no levels of grey; later frames do not count as
    pixels.
    """
    frames, count = _read(path, only_first=True, content=content)
    _check_levels(frames[0], path)
    return frames[0], count


def upright_header(
    path: Path, content: bytes | BinaryIO | None = None
) -> tuple[tuple[int, int], bool]:
    """Width and height of a picture file, told from its header alone, and whether it may be
    transparent: it has an alpha channel, or a palette with transparent colours.

    `content` is as in `first_frame`, or a file of which no more is read than is needed. Raises
    UserError for a file that is no picture, or has more than MAX_PIXELS pixels.
    """
    with _opened(path, content) as image:
        _check_size(path, image, 1, 0)
        # A PNG without EXIF would be decoded in search of it.
        turned = (image.format != "PNG" or "exif" in image.info) and image.getexif().get(
            ExifTags.Base.Orientation, 1
        ) in SIDEWAYS
        size = (image.height, image.width) if turned else image.size
        return size, has_alpha(image)


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
def _opened(path: Path, content: bytes | BinaryIO | None) -> Iterator[Image.Image]:
    """The file opened; what goes wrong with it in the block is a UserError that names it."""
    given = io.BytesIO(content) if isinstance(content, bytes) else content
    file = path if given is None else given
    try:
        if content is None:  # Pillow would wait for a pipe's writer
            require_regular(path, "the picture")
        with warnings.catch_warnings():
            # What Pillow warns of (sizes, EXIF, palettes) is said by us or changes nothing.
            warnings.simplefilter("ignore")
            with _image(file, path) as image:
                yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"the picture {path} has {_TOO_MANY}") from error
    # Broken files make Pillow's readers raise almost anything.
    except Exception as error:
        system = error.strerror if isinstance(error, OSError) else None
        known = not isinstance(error, UnidentifiedImageError)
        reason = system or (shown(str(error), 200) if known else _unknown(file))
        raise UserError(f"{path} cannot be read as a picture: {reason}") from error


def _image(file: Path | BinaryIO, path: Path) -> Image.Image:
    """The picture opened by Pillow, with pillow-heif's help where that is installed and needed."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        if not _is_heif(file):
            raise
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise UserError(
            f"{path} is a HEIC picture, which is read with pillow-heif: {PILLOW_HEIF}, or save it "
            "as PNG or JPEG."
        ) from None
    register_heif_opener()
    return Image.open(file)


def _unknown(file: Path | BinaryIO) -> str:
    """What is wrong with a file that Pillow knows no format for: it may begin as one."""
    head = _head(file)
    begun = next((name for start, name in BEGINNINGS.items() if head.startswith(start)), None)
    if begun is None:
        return "it is in no format of pictures"
    return (
        f"it begins as a {begun}, and is cut off or of a kind that Pillow does not read, such as "
        "colours in floats; save it as PNG"
    )


def _head(file: Path | BinaryIO) -> bytes:
    """The first 12 bytes."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(12)
    file.seek(0)
    return file.read(12)


def _is_heif(file: Path | BinaryIO) -> bool:
    """Whether a file says so in its first box, as ISO/IEC 23008-12 has it."""
    head = _head(file)
    return head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS


def _is_deep(frame: Image.Image) -> bool:
    """16-bit grey, which Pillow counts as whole numbers."""
    return frame.mode.startswith("I")


def _as(mode: str, frame: Image.Image) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes with transparency, which are read rightly
        return frame.convert(mode)


def has_alpha(frame: Image.Image) -> bool:
    """Whether something in it may be transparent: an alpha channel, transparent colours of a
    palette, or one colour that stands for it (PNG's tRNS)."""
    palette = frame.palette is not None and frame.palette.mode == "RGBA"
    return frame.mode in WITH_ALPHA or palette or "transparency" in frame.info


def on_white(frame: Image.Image) -> Image.Image:
    """`frame` as it looks on white paper; without transparency it is itself.

    So do the annotators with what they are given (`HWC3` of lllyasviel/ControlNet,
    `annotator/util.py`, in sd-webui and comfyui_controlnet_aux, too); they cut fractions of a level
    off, here they are rounded. What hides under alpha does not count.
    """
    if not has_alpha(frame):
        return frame
    if _is_deep(frame):
        levels, clear = np.asarray(frame), frame.info["transparency"]
        return Image.fromarray(np.where(levels == clear, levels.dtype.type(DEEPEST), levels))
    coloured = _in_bytes(_straight(frame)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", frame.size, "white"), coloured).convert("RGB")


def pixels(frame: Image.Image) -> Bytes:
    """(H, W, 3), 0..255: what a preprocessor sees of a picture, laid `on_white`."""
    seen = on_white(frame)
    if seen.mode == "RGB":
        return np.array(seen)  # a copy: torch warns of arrays that cannot be written
    # Rounding gives 8-bit pictures their own bytes again.
    return (colours(seen) * 255).round().astype(np.uint8)


def colours(frame: Image.Image) -> Floats:
    """(H, W, 3) in 0..1, those under alpha as the file has them.

    A 16-bit grey picture, such as a depth map, keeps its steps; ComfyUI 0.3.64 cuts it to 8 bits,
    or with newer Pillows to white. So does one in floats of 0..1, of which 0.33.0 makes black, too;
    floats beyond are levels of 0..255, as in the core.
    """
    if _is_deep(frame):
        return _as_rgb(np.asarray(frame, dtype=np.float32) / np.float32(DEEPEST))
    if frame.mode == "F":
        levels = np.asarray(frame, dtype=np.float32)
        if _inside(levels, 1):
            return _as_rgb(levels)
    return _in_unit(_as("RGB", _straight(frame)))


def transparency(frame: Image.Image) -> Floats | None:
    """1 where transparent, (H, W); None for a picture that has no transparency.

    As in the core, that is an alpha channel, or a palette with transparent colours.
    """
    palette = frame.mode == "P" and has_alpha(frame)
    return transparent(frame) if palette or frame.mode in WITH_ALPHA else None


def transparent(frame: Image.Image) -> Floats:
    """1 where transparent, (H, W): zeros for a picture that has no transparency."""
    if _is_deep(frame):  # Pillow has no way from it to RGBA, and such a picture is opaque
        return np.zeros((frame.height, frame.width), np.float32)
    alpha = _as("RGBA", _straight(frame)).getchannel("A")
    return np.float32(1.0) - _in_unit(alpha)


def _straight(frame: Image.Image) -> Image.Image:
    """`frame` with colours that are not multiplied by alpha, which Pillow converts no further."""
    return frame.convert(frame.mode.replace("a", "A")) if frame.mode in ("La", "RGBa") else frame


def _in_bytes(frame: Image.Image) -> Image.Image:
    """`frame` with its one transparent colour in 8 bits, as its pixels are: Pillow reads RGB of 16
    bits as 8 and leaves that colour as it was."""
    clear = frame.info.get("transparency")
    if frame.mode != "RGB" or not isinstance(clear, tuple) or max(clear) <= 255:
        return frame
    shallow = frame.copy()
    shallow.info["transparency"] = tuple(level >> 8 for level in clear)
    return shallow


def _check_levels(frame: Image.Image, path: Path) -> None:
    """Raise UserError, naming `path`, for numbers of which no grey can be made: most would be white
    or black."""
    if frame.mode not in ("F", "I"):
        return
    levels = np.asarray(frame)
    top = 1 if frame.mode == "F" else DEEPEST
    if not _inside(levels, top):
        kind = "floats" if frame.mode == "F" else "whole numbers"
        raise UserError(
            f"{path} holds {kind} from {levels.min():g} to {levels.max():g}; they have to be from "
            f"0 (black, of depth the farthest) to {top} (white, the nearest): scale them first."
        )


def _inside(levels: npt.NDArray[Any], top: float) -> bool:
    """Whether all numbers are from 0 to `top`, NaN being outside."""
    return bool(levels.min() >= 0 and levels.max() <= top)


def _as_rgb(grey: Floats) -> Floats:
    """(H, W) -> (H, W, 3) in 0..1."""
    return np.repeat(grey.clip(0.0, 1.0)[..., None], 3, axis=-1)


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
