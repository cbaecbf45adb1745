"""The core's nodes around models that make pictures larger."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...model_files.files import read_contents
from .. import folders
from ..models import upscaler
from .declare import core_node, model_file


def _check(model_name: str) -> None:
    read_contents(folders.find("upscale_models", model_name))
    upscaler.require_spandrel()


@core_node(
    "UpscaleModelLoader",
    "model/loaders",
    {"model_name": model_file("upscale_models")},
    "UPSCALE_MODEL",
    check=_check,
)
def load(model_name: str) -> Any:
    """A model that makes pictures larger."""
    return upscaler.load_upscaler(folders.find("upscale_models", model_name))


@core_node(
    "ImageUpscaleWithModel",
    "image/upscaling",
    {"upscale_model": "UPSCALE_MODEL", "image": "IMAGE"},
    "IMAGE",
)
def enlarge(upscale_model: Any, image: Tensor) -> Tensor:
    """Pictures as many times as large as the model makes them; an alpha channel is left out."""
    return upscaler.enlarge(upscale_model, image[..., :3])
