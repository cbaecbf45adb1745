"""The core's image nodes: load, save, scale, invert, edges."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, ClassVar

from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.reading import read_bytes
from ...preprocessors.picture_files import MAX_FILE
from .. import folders
from ..file_names import expand
from ..pictures import check_image, encode_png, read_channel, read_image
from ..resize import CROPS, IMAGE_METHODS, MAX_RESOLUTION, resize

InputTypes = dict[str, dict[str, Any]]

CANNY_BYTES = 200
"""Bytes that edge detection takes for a pixel: about fifty maps of floats (measured)."""


class LoadImage:
    """A picture file as IMAGE, and its transparency as MASK."""

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load_image"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": (folders.input_names(), {"image_upload": True})}}

    @classmethod
    def VALIDATE_INPUTS(cls, image: str) -> bool:
        check_image(folders.find_input(image))
        return True

    @classmethod
    def IS_CHANGED(cls, image: str) -> str:
        return _digest(image)

    def load_image(self, image: str) -> tuple[Tensor, Tensor]:
        return read_image(folders.find_input(image))


class LoadImageMask:
    """One channel of a picture file as MASK."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "load_image"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": (folders.input_names(), {"image_upload": True}),
                "channel": (["alpha", "red", "green", "blue"],),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, image: str) -> bool:
        return LoadImage.VALIDATE_INPUTS(image)

    @classmethod
    def IS_CHANGED(cls, image: str, channel: str) -> str:
        return _digest(image)

    def load_image(self, image: str, channel: str) -> tuple[Tensor]:
        return (read_channel(folders.find_input(image), channel),)


class SaveImage:
    """Pictures written as PNG into the output folder, with the workflow inside."""

    RETURN_TYPES = ()
    FUNCTION = "save_images"
    CATEGORY = "image"
    OUTPUT_NODE = True
    DESCRIPTION = "Saves the input images to the output folder."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
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
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str, prompt: dict[str, Any] | None = None) -> bool:
        # The size of the pictures is not known yet; it has one digit or more.
        name = expand(filename_prefix, width=1, height=1, number=0, prompt=prompt or {})
        folders.check_prefix("output", name)
        return True

    def save_images(
        self,
        images: Tensor,
        filename_prefix: str = "ComfyUI",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        return _save(images, filename_prefix, "output", 4, prompt, extra_pnginfo)


class PreviewImage:
    """Pictures written into the folder for temporary files."""

    RETURN_TYPES = ()
    FUNCTION = "save_images"
    CATEGORY = "image"
    OUTPUT_NODE = True

    def __init__(self) -> None:
        self._prefix = f"ComfyUI_temp_{uuid.uuid4().hex[:5]}"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {"images": ("IMAGE",)},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls) -> bool:
        folders.check_prefix("temp", "ComfyUI_temp_00000")
        return True

    def save_images(
        self,
        images: Tensor,
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        return _save(images, self._prefix, "temp", 1, prompt, extra_pnginfo)


class ImageScale:
    """Pictures at a given size; a side of 0 follows the other."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "upscale"
    CATEGORY = "image/upscaling"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        side = {"default": 512, "min": 0, "max": MAX_RESOLUTION, "step": 1}
        return {
            "required": {
                "image": ("IMAGE",),
                "upscale_method": (IMAGE_METHODS,),
                "width": ("INT", side),
                "height": ("INT", side),
                "crop": (CROPS,),
            }
        }

    def upscale(
        self, image: Tensor, upscale_method: str, width: int, height: int, crop: str
    ) -> tuple[Tensor]:
        if width == 0 and height == 0:
            return (image,)
        rows, columns = image.shape[1:3]
        width = width or max(1, round(columns * height / rows))
        height = height or max(1, round(rows * width / columns))
        return (_scale(image, width, height, upscale_method, crop),)


class ImageScaleBy:
    """Pictures made larger or smaller by a factor."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "upscale"
    CATEGORY = "image/upscaling"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        factor = {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}
        return {
            "required": {
                "image": ("IMAGE",),
                "upscale_method": (IMAGE_METHODS,),
                "scale_by": ("FLOAT", factor),
            }
        }

    def upscale(self, image: Tensor, upscale_method: str, scale_by: float) -> tuple[Tensor]:
        # At least one pixel, where the core would fail on a tiny picture.
        height, width = (max(1, round(side * scale_by)) for side in image.shape[1:3])
        return (_scale(image, width, height, upscale_method, "disabled"),)


class ImageInvert:
    """The negative."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "invert"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",)}}

    def invert(self, image: Tensor) -> tuple[Tensor]:
        return (1.0 - image,)


class Canny:
    """White edges on black; thresholds are on gradients of a 0..1 picture, not OpenCV's 0..255."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "detect_edge"
    CATEGORY = "image/preprocessors"

    _THRESHOLD: ClassVar[dict[str, float]] = {"min": 0.01, "max": 0.99, "step": 0.01}

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "low_threshold": ("FLOAT", {"default": 0.4, **cls._THRESHOLD}),
                "high_threshold": ("FLOAT", {"default": 0.8, **cls._THRESHOLD}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, low_threshold: float, high_threshold: float) -> bool:
        if low_threshold > high_threshold:
            raise UserError(
                f"low_threshold is {low_threshold}, above high_threshold, {high_threshold}; "
                "swap the two"
            )
        return True

    def detect_edge(
        self, image: Tensor, low_threshold: float, high_threshold: float
    ) -> tuple[Tensor]:
        from kornia.filters import canny

        self.VALIDATE_INPUTS(low_threshold, high_threshold)
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
        return (edges.movedim(1, -1).repeat(1, 1, 1, 3),)


def _scale(image: Tensor, width: int, height: int, method: str, crop: str) -> Tensor:
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def _digest(name: str) -> str:
    data = read_bytes(folders.find_input(name), "the picture", MAX_FILE)
    return hashlib.sha256(data).hexdigest()


def _save(
    images: Tensor,
    prefix: str,
    kind: folders.Kind,
    level: int,
    prompt: dict[str, Any] | None,
    extra: dict[str, Any] | None,
) -> dict[str, Any]:
    """Write a batch and list what was written, in the form that ComfyUI's canvas shows."""
    texts = {**({} if prompt is None else {"prompt": prompt}), **(extra or {})}
    written = []
    for number, image in enumerate(images):
        height, width = image.shape[:2]
        name = expand(prefix, width=width, height=height, number=number, prompt=prompt or {})
        path = folders.save(kind, name, encode_png(image, texts, level))
        subfolder = path.parent.relative_to(folders.root(kind)).as_posix()
        written.append(
            {
                "filename": path.name,
                "subfolder": "" if subfolder == "." else subfolder,
                "type": kind,
            }
        )
    return {"ui": {"images": written}}


CORE_NODES = {
    "LoadImage": LoadImage,
    "LoadImageMask": LoadImageMask,
    "SaveImage": SaveImage,
    "PreviewImage": PreviewImage,
    "ImageScale": ImageScale,
    "ImageScaleBy": ImageScaleBy,
    "ImageInvert": ImageInvert,
    "Canny": Canny,
}
