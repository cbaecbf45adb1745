"""ComfyUI-GGUF's loaders of a model and of text encoders.

Inputs are as nodes.py of https://github.com/city96/ComfyUI-GGUF has them.
"""

from __future__ import annotations

from typing import Any

from ...model_files.gguf_files import SUFFIX
from .. import folders
from ..core_nodes.declare import ModelFile, model_file
from ..models import inspect, loading
from .core import core, require_core
from .declare import nodes_of

MENU = "bootleg"
gguf_node = nodes_of("ComfyUI-GGUF")

_KIND, _ENDINGS = "diffusion_models", frozenset({SUFFIX})
_UNET = ModelFile(_KIND, (), {}, _ENDINGS)
_TEXT = model_file("text_encoders")
_TYPES = ["default", "target", "float32", "float16", "bfloat16"]


def _check(unet_name: str) -> None:
    inspect.check(folders.find(_KIND, unet_name, _ENDINGS), _KIND)


@gguf_node("UnetLoaderGGUF", MENU, {"unet_name": _UNET}, "MODEL", check=_check)
def load_unet(unet_name: str) -> Any:
    """The diffusion model of a GGUF file. Its numbers are those that the blocks hold, as float32;
    that pack rounds them to halves, which ops.py and dequant.py of it do by default."""
    return loading.load_unet(folders.find(_KIND, unet_name, _ENDINGS))


@gguf_node(
    "UnetLoaderGGUFAdvanced",
    MENU,
    {
        "unet_name": _UNET,
        "dequant_dtype": (_TYPES, {"default": "default"}),
        "patch_dtype": (_TYPES, {"default": "default"}),
        "patch_on_device": ("BOOLEAN", {"default": False}),
    },
    "MODEL",
    check=_check,
)
def load_unet_so(
    unet_name: str, dequant_dtype: str, patch_dtype: str, patch_on_device: bool
) -> Any:
    """As UnetLoaderGGUF: the other inputs only save a GPU's time and memory, by rounding."""
    return load_unet(unet_name)


@gguf_node(
    "CLIPLoaderGGUF",
    MENU,
    {"clip_name": _TEXT, "type": ["stable_diffusion"]},
    "CLIP",
    check=lambda clip_name: require_core("CLIPLoader", clip_name=clip_name),
)
def load_clip(clip_name: str, type: str) -> Any:
    """As the core's CLIPLoader: a text encoder as .safetensors."""
    return core("CLIPLoader", clip_name=clip_name, type=type)[0]


@gguf_node(
    "DualCLIPLoaderGGUF",
    MENU,
    {"clip_name1": _TEXT, "clip_name2": _TEXT, "type": ["sdxl"]},
    "CLIP",
    check=lambda clip_name1, clip_name2: require_core(
        "DualCLIPLoader", clip_name1=clip_name1, clip_name2=clip_name2
    ),
)
def load_two_clips(clip_name1: str, clip_name2: str, type: str) -> Any:
    """As the core's DualCLIPLoader: SDXL's two text encoders as .safetensors, in any order."""
    return core("DualCLIPLoader", clip_name1=clip_name1, clip_name2=clip_name2, type=type)[0]
