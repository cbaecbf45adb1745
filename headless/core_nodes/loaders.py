"""The core's loader nodes: names of files to models. A check reads a file's header only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import folders
from ..models import inspect, loading
from ..models.clip import Clip
from ..models.control_base import ControlBase
from ..models.lora import apply_lora
from ..models.telling import texts_of
from ..models.vae import Vae
from ..sampling.model import Model
from .declare import core_node, model_file, number


def _check(kind: str, name: str) -> None:
    inspect.check(folders.find(kind, name), kind)


@core_node(
    "CheckpointLoaderSimple",
    "loaders",
    {"ckpt_name": model_file("checkpoints")},
    *("MODEL", "CLIP", "VAE"),
    check=lambda ckpt_name: _check("checkpoints", ckpt_name),
)
def load_checkpoint(ckpt_name: str) -> tuple[Model, Clip, Vae | None]:
    """A whole model: a pipeline folder or a single file; the VAE is None where it has none."""
    return loading.load_checkpoint(folders.find("checkpoints", ckpt_name))


CONFIGS = (
    *("anything_v3", "v1-inference", "v1-inference_clip_skip_2", "v1-inference_clip_skip_2_fp16"),
    *("v1-inference_fp16", "v1-inpainting-inference", "v2-inference-v", "v2-inference-v_fp32"),
    *("v2-inference", "v2-inference_fp32", "v2-inpainting-inference"),
)
"""ComfyUI's configurations; what they say of a model its file says too, but for CLIP skip."""
SKIPPING = ("anything_v3", "v1-inference_clip_skip_2", "v1-inference_clip_skip_2_fp16")


@core_node(
    "CheckpointLoader",
    "model/loaders",
    {
        "config_name": [f"{name}.yaml" for name in CONFIGS],
        "ckpt_name": model_file("checkpoints"),
    },
    *("MODEL", "CLIP", "VAE"),
    check=lambda ckpt_name: _check("checkpoints", ckpt_name),
    DEPRECATED=True,
)
def load_with_config(config_name: str, ckpt_name: str) -> tuple[Model, Clip, Vae | None]:
    """As CheckpointLoaderSimple; some configurations stop CLIP at its last layer but one."""
    model, clip, vae = load_checkpoint(ckpt_name)
    if config_name.removesuffix(".yaml") in SKIPPING:
        clip.clip_layer(-2)
    return model, clip, vae


@core_node(
    "UNETLoader",
    "advanced/loaders",
    {
        "unet_name": model_file("diffusion_models"),
        "weight_dtype": ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"],
    },
    "MODEL",
    check=lambda unet_name: _check("diffusion_models", unet_name),
)
def load_unet(unet_name: str, weight_dtype: str) -> Model:
    """The diffusion model alone, as float32: the narrow types only save a GPU's memory."""
    return loading.load_unet(folders.find("diffusion_models", unet_name))


@core_node(
    "CLIPLoader",
    "advanced/loaders",
    # Of the core's types the one that this host runs.
    {"clip_name": model_file("text_encoders"), "type": ["stable_diffusion"]},
    "CLIP",
    optional={"device": (["default", "cpu"], {"advanced": True})},
    check=lambda clip_name: _check_texts(clip_name),
)
def load_clip(clip_name: str, type: str, device: str = "default") -> Clip:
    """The text encoder alone."""
    return loading.load_clip(folders.find("text_encoders", clip_name))


@core_node(
    "DualCLIPLoader",
    "advanced/loaders",
    {
        "clip_name1": model_file("text_encoders"),
        "clip_name2": model_file("text_encoders"),
        # Of the core's types the one that this host runs.
        "type": ["sdxl"],
    },
    "CLIP",
    optional={"device": (["default", "cpu"], {"advanced": True})},
    check=lambda clip_name1, clip_name2: _check_texts(clip_name1, clip_name2),
)
def load_two_clips(clip_name1: str, clip_name2: str, type: str, device: str = "default") -> Clip:
    """SDXL's two text encoders, in any order."""
    return loading.load_clip(*_texts(clip_name1, clip_name2))


def _texts(*names: str) -> list[Path]:
    return [folders.find("text_encoders", name) for name in names]


def _check_texts(*names: str) -> None:
    for name in names:
        _check("text_encoders", name)
    texts_of(*_texts(*names))


@core_node(
    "VAELoader",
    "loaders",
    {"vae_name": model_file("vae")},
    "VAE",
    check=lambda vae_name: _check("vae", vae_name),
)
def load_vae(vae_name: str) -> Vae:
    """The autoencoder alone."""
    return loading.load_vae(folders.find("vae", vae_name))


@core_node(
    "LoraLoader",
    "loaders",
    {
        "model": "MODEL",
        "clip": "CLIP",
        "lora_name": model_file("loras"),
        "strength_model": number(1.0, -100.0, 100.0, 0.01),
        "strength_clip": number(1.0, -100.0, 100.0, 0.01),
    },
    *("MODEL", "CLIP"),
    check=lambda lora_name: _check("loras", lora_name),
)
def load_lora(
    model: Model, clip: Clip, lora_name: str, strength_model: float, strength_clip: float
) -> tuple[Model, Clip]:
    """A LoRA, added to a MODEL and a CLIP; those given stay as they are."""
    path = folders.find("loras", lora_name)
    return apply_lora(model, clip, path, strength_model, strength_clip)


@core_node(
    "LoraLoaderModelOnly",
    "model/loaders",
    {
        "model": "MODEL",
        "lora_name": model_file("loras"),
        "strength_model": number(1.0, -100.0, 100.0, 0.01),
    },
    "MODEL",
    check=lambda lora_name: _check("loras", lora_name),
)
def load_lora_for_model(model: Model, lora_name: str, strength_model: float) -> Model:
    """A LoRA, added to a MODEL alone; the one given stays as it is."""
    nothing: Any = None  # a strength of 0 leaves the text encoder alone
    path = folders.find("loras", lora_name)
    return apply_lora(model, nothing, path, strength_model, 0.0)[0]


@core_node(
    "ControlNetLoader",
    "loaders",
    {"control_net_name": model_file("controlnet")},
    "CONTROL_NET",
    check=lambda control_net_name: _check("controlnet", control_net_name),
)
def load_control_net(control_net_name: str) -> ControlBase:
    """A ControlNet, a T2I adapter or a Control-LoRA."""
    return loading.load_control_net(folders.find("controlnet", control_net_name))


def _check_difference(control_net_name: str) -> None:
    inspect.check(folders.find("controlnet", control_net_name), "controlnet", difference=True)


@core_node(
    "DiffControlNetLoader",
    "model/loaders",
    {"model": "MODEL", "control_net_name": model_file("controlnet")},
    "CONTROL_NET",
    check=_check_difference,
)
def load_difference(model: Model, control_net_name: str) -> ControlBase:
    """A ControlNet as ControlNetLoader loads it, or one that is a difference to `model`."""
    _check_difference(control_net_name)  # validated already, unless the name came through a link
    return loading.load_difference(folders.find("controlnet", control_net_name), model)
