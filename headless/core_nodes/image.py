"""The core's image nodes: load, save, scale, invert, edges."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.reading import read_bytes
from ...preprocessors.picture_files import MAX_FILE
from .. import folders
from ..pictures import check_image, encode_png, read_channel, read_image
from ..resize import CROPS, IMAGE_METHODS, MAX_RESOLUTION, resize
from .declare import core_node, integer, number
from .saving import PROMPT_AND_CANVAS, name_checked, texts_of, written

CANNY_BYTES = 200
"""Bytes that edge detection takes for a pixel: about fifty maps of floats (measured)."""


@core_node(
    "LoadImage",
    "image",
    {"image": lambda: (folders.input_names(), {"image_upload": True})},
    *("IMAGE", "MASK"),
    check=lambda image: check_image(folders.find_input(image)),
    IS_CHANGED=lambda image: _digest(image),
)
def load_image(image: str) -> tuple[Tensor, Tensor]:
    """A picture file as IMAGE, and its transparency as MASK."""
    return read_image(folders.find_input(image))


def _of_output(image: str) -> str:
    return image if image.endswith("]") else f"{image} [output]"


@core_node(
    "LoadImageOutput",
    "image",
    {
        "image": lambda: (
            "COMBO",
            {
                "image_upload": True,
                "image_folder": "output",
                "options": [f"{name} [output]" for name in folders.output_names()],
            },
        )
    },
    *("IMAGE", "MASK"),
    check=lambda image: check_image(folders.find_input(_of_output(image))),
    IS_CHANGED=lambda image: _digest(_of_output(image)),
)
def load_output(image: str) -> tuple[Tensor, Tensor]:
    """As LoadImage, from the folder of results."""
    return read_image(folders.find_input(_of_output(image)))


@core_node(
    "LoadImageMask",
    "mask",
    {
        "image": lambda: (folders.input_names(), {"image_upload": True}),
        "channel": ["alpha", "red", "green", "blue"],
    },
    "MASK",
    check=lambda image: check_image(folders.find_input(image)),
    IS_CHANGED=lambda image, channel: _digest(image),
)
def load_mask(image: str, channel: str) -> Tensor:
    """One channel of a picture file as MASK."""
    return read_channel(folders.find_input(image), channel)


@core_node(
    "SaveImage",
    "image",
    {
        "images": ("IMAGE", {"tooltip": "The images to save."}),
        "filename_prefix": (
            "STRING",
            {
                "default": "ComfyUI",
                "tooltip": "The start of the file name; may hold %date:yyyy-MM-dd%, "
                "%width%, %height%, %batch_num% and values such as %KSampler.seed%.",
            },
        ),
    },
    "IMAGE",
    hidden=PROMPT_AND_CANVAS,
    check=name_checked(".png"),
    OUTPUT_NODE=True,
    RETURN_NAMES=("images",),
    DESCRIPTION="Saves the input images to the output folder.",
)
def save_images(images: Tensor, filename_prefix: str, **texts: Any) -> dict[str, Any]:
    """Pictures written as PNG into the output folder, with the workflow inside, and given on."""
    return _save(images, filename_prefix, "output", 4, **texts)


def check_preview() -> None:
    """UserError where nothing can be written into the folder for temporary files."""
    folders.check_prefix("temp", "ComfyUI_temp_00000")


@core_node(
    "PreviewImage",
    "image",
    {"images": "IMAGE"},
    "IMAGE",
    hidden=PROMPT_AND_CANVAS,
    check=check_preview,
    OUTPUT_NODE=True,
    RETURN_NAMES=("images",),
)
def preview_images(images: Tensor, **texts: Any) -> dict[str, Any]:
    """Pictures written into the folder for temporary files, and given on."""
    return _save(images, f"ComfyUI_temp_{uuid.uuid4().hex[:5]}", "temp", 1, **texts)


@core_node(
    "ImageScale",
    "image/upscaling",
    {
        "image": "IMAGE",
        "upscale_method": IMAGE_METHODS,
        "width": integer(512, 0, MAX_RESOLUTION, 1),
        "height": integer(512, 0, MAX_RESOLUTION, 1),
        "crop": CROPS,
    },
    "IMAGE",
)
def scale(image: Tensor, upscale_method: str, width: int, height: int, crop: str) -> Tensor:
    """Pictures at a given size; a edge of 0 follows the other."""
    if width == 0 and height == 0:
        return image
    rows, columns = image.shape[1:3]
    width = width or max(1, round(columns * height / rows))
    height = height or max(1, round(rows * width / columns))
    return _scaled(image, width, height, upscale_method, crop)


@core_node(
    "ImageScaleBy",
    "image/upscaling",
    {
        "image": "IMAGE",
        "upscale_method": IMAGE_METHODS,
        "scale_by": number(1.0, 0.01, 8.0, 0.01),
    },
    "IMAGE",
)
def scale_by(image: Tensor, upscale_method: str, scale_by: float) -> Tensor:
    """Pictures made larger or smaller by a factor."""
    # At least one pixel, where the core would fail on a tiny picture.
    height, width = (max(1, round(edge * scale_by)) for edge in image.shape[1:3])
    return _scaled(image, width, height, upscale_method, "disabled")


@core_node("ImageInvert", "image", {"image": "IMAGE"}, "IMAGE")
def invert(image: Tensor) -> Tensor:
    """The negative."""
    return 1.0 - image


def _check_thresholds(low_threshold: float, high_threshold: float) -> None:
    if low_threshold > high_threshold:
        raise UserError(
            f"low_threshold is {low_threshold}, above high_threshold, {high_threshold}; swap the "
            "two"
        )


@core_node(
    "Canny",
    "image/preprocessors",
    {
        "image": "IMAGE",
        "low_threshold": number(0.4, 0.01, 0.99, 0.01),
        "high_threshold": number(0.8, 0.01, 0.99, 0.01),
    },
    "IMAGE",
    check=_check_thresholds,
)
def detect_edges(image: Tensor, low_threshold: float, high_threshold: float) -> Tensor:
    """White edges on black; thresholds are on gradients of a 0..1 picture, not OpenCV's 0..255."""
    from kornia.filters import canny

    _check_thresholds(low_threshold, high_threshold)
    height, width = image.shape[1:3]
    if min(height, width) < 3:
        raise UserError(
            f"edges are looked for in pictures of 3 x 3 pixels or more, and this one has "
            f"{width} x {height}"
        )
    require_memory(
        image.numel() / image.shape[-1] * CANNY_BYTES, f"edges of {width} x {height} pixels"
    )
    edges: Tensor = canny(image.movedim(-1, 1), low_threshold, high_threshold)[1]
    return edges.movedim(1, -1).repeat(1, 1, 1, 3)


def _scaled(image: Tensor, width: int, height: int, method: str, crop: str) -> Tensor:
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def _digest(name: str) -> str:
    data = read_bytes(folders.find_input(name), "the picture", MAX_FILE)
    return hashlib.sha256(data).hexdigest()


def _save(
    images: Tensor,
    prefix: str,
    kind: folders.Kind,
    level: int,
    prompt: dict[str, Any] | None = None,
    extra_pnginfo: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a batch, list what was written as ComfyUI's canvas shows it, and give it on."""
    texts = texts_of(prompt, extra_pnginfo)
    size = (images.shape[2], images.shape[1])
    saved = [
        written(encode_png(image, texts, level), prefix, ".png", kind, size, index, prompt)
        for index, image in enumerate(images)
    ]
    return {"ui": {"images": saved}, "result": (images,)}
