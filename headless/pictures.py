"""Picture files to tensors and back."""

from __future__ import annotations

import io
import itertools
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..errors import UserError
from .wording import shown

# All frames together; a float32 RGB batch of this many pixels takes 1.6 GB.
MAX_PIXELS = 2**27
# The mask of a picture without transparency, as the core makes it.
NO_MASK_SIDE = 64


def read_image(path: Path) -> tuple[Tensor, Tensor]:
    """The frames of a picture file: IMAGE (B, H, W, 3) in 0..1, and MASK (B, h, w).

    The mask is 1 where the picture is transparent; without transparency it is 64 x 64 zeros. EXIF
    rotation is applied; frames of another size than the first are left out, as in the core. Raises
    UserError for a file that is no picture, is cut off, or has more than MAX_PIXELS pixels.
    """
    frames = [(_colours(frame), _transparency(frame)) for frame in _frames(path)]
    first = frames[0][0].shape
    kept = [(colours, mask) for colours, mask in frames if colours.shape == first]
    images = np.stack([colours for colours, _ in kept])
    return torch.from_numpy(images), torch.from_numpy(_stack_masks([mask for _, mask in kept]))


def read_channel(path: Path, channel: str) -> Tensor:
    """One channel of the first frame as MASK (1, H, W) in 0..1: "red", "green", "blue", or "alpha".

    "alpha" is 1 where the picture is transparent, and 0 throughout one without transparency.
    Raises UserError as `read_image` does.
    """
    frame = _frames(path, only_first=True)[0]
    if channel == "alpha":
        # Pillow has no way from 16-bit grey to RGBA, and such a picture is opaque.
        deep = frame.mode.startswith("I")
        size = (frame.height, frame.width)
        return torch.from_numpy(np.zeros(size, np.float32) if deep else _transparent(frame))[None]
    index = ["red", "green", "blue"].index(channel)
    return torch.from_numpy(_colours(frame)[..., index].copy())[None]


def encode_png(image: Tensor, texts: Mapping[str, object], level: int = 4) -> bytes:
    """An image (H, W, C) in 0..1 as PNG bytes, with each of `texts` as a JSON text chunk.

    Raises UserError for an image with values that are not numbers.
    """
    if not bool(torch.isfinite(image).all()):
        raise UserError("the picture holds values that are not numbers (NaN); nothing is written")
    pixels = (255.0 * image.cpu().float().numpy()).clip(0, 255).astype(np.uint8)
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    stream = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.save(stream, format="PNG", pnginfo=info, compress_level=level)
    return stream.getvalue()


def _frames(path: Path, *, only_first: bool = False) -> list[Image.Image]:
    """The frames, decoded and upright."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            # Pillow warns above its own limit; ours is said below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # A JPEG of several pictures (MPO) is its first; the others are other views of it.
            count = 1 if only_first or image.format == "MPO" else getattr(image, "n_frames", 1)
            _check_size(path, image, count)
            every = itertools.islice(ImageSequence.Iterator(image), count)
            return [ImageOps.exif_transpose(frame) for frame in every]
    except UserError:
        raise
    # Broken files make Pillow's readers raise almost anything.
    except Exception as error:
        reason = shown(str(error), 200)
        raise UserError(f"{path} cannot be read as a picture: {reason}") from error


def _check_size(path: Path, image: Image.Image, count: int) -> None:
    if image.width * image.height * count > MAX_PIXELS:
        raise UserError(
            f"the picture {path} has {image.width} x {image.height} pixels in {count} frames; at "
            f"most {MAX_PIXELS / 1e6:.0f} million pixels can be read"
        )


def _colours(frame: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) in 0..1.

    A 16-bit grey picture, such as a depth map, keeps its steps; the core cuts it to 8 bits, or
    with newer Pillows to white.
    """
    if frame.mode.startswith("I"):
        grey = np.asarray(frame, dtype=np.float32) / 65535.0
        return np.repeat(grey.clip(0.0, 1.0)[..., None], 3, axis=-1)
    return np.asarray(frame.convert("RGB"), dtype=np.float32) / np.float32(255.0)


def _transparency(frame: Image.Image) -> NDArray[np.float32] | None:
    """1 where transparent, (H, W); None for a picture that has no transparency.

    As in the core, that is an alpha channel, or a palette with transparent colours.
    """
    palette = frame.mode == "P" and "transparency" in frame.info
    return _transparent(frame) if palette or "A" in frame.getbands() else None


def _transparent(frame: Image.Image) -> NDArray[np.float32]:
    alpha = frame.convert("RGBA").getchannel("A")
    return np.float32(1.0) - np.asarray(alpha, dtype=np.float32) / np.float32(255.0)


def _stack_masks(masks: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    shape = next((mask.shape for mask in masks if mask is not None), (NO_MASK_SIDE, NO_MASK_SIDE))
    zeros = np.zeros(shape, dtype=np.float32)
    return np.stack([zeros if mask is None else mask for mask in masks])
