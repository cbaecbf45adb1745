"""The core's loader nodes: names of files to models."""

from __future__ import annotations

from typing import Any

from ...ground.errors import UserError
from .. import folders
from ..models import inspect, loading
from ..models.clip import Clip
from ..models.control_base import ControlBase
from ..models.lora import apply_lora
from ..models.vae import Vae
from ..sampling.model import Model


def _checked(kind: str, name: str) -> bool | str:
    """ComfyUI's answer of a validation: True, or the sentence that says what is wrong."""
    try:
        inspect.check(folders.find(kind, name), kind)
    except UserError as error:
        return str(error)
    return True


class CheckpointLoaderSimple:
    """A whole model: a pipeline folder or a single file."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load_checkpoint"
    CATEGORY = "loaders"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"ckpt_name": (folders.names("checkpoints"),)}}

    @classmethod
    def VALIDATE_INPUTS(cls, ckpt_name: str) -> bool | str:
        """Whether the file can be a checkpoint; reads its header only."""
        return _checked("checkpoints", ckpt_name)

    def load_checkpoint(self, ckpt_name: str) -> tuple[Model, Clip, Vae | None]:
        """Load the file of this name; its VAE is None where the file has none."""
        return loading.load_checkpoint(folders.find("checkpoints", ckpt_name))


class UNETLoader:
    """The diffusion model alone."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "load_unet"
    CATEGORY = "advanced/loaders"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        types = ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
        return {
            "required": {
                "unet_name": (folders.names("diffusion_models"),),
                "weight_dtype": (types,),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, unet_name: str) -> bool | str:
        """Whether the file can be a diffusion model; reads its header only."""
        return _checked("diffusion_models", unet_name)

    def load_unet(self, unet_name: str, weight_dtype: str) -> tuple[Model]:
        """Load the file of this name, as float32: the narrow types only save a GPU's memory."""
        return (loading.load_unet(folders.find("diffusion_models", unet_name)),)


class CLIPLoader:
    """The text encoder alone."""

    RETURN_TYPES = ("CLIP",)
    FUNCTION = "load_clip"
    CATEGORY = "advanced/loaders"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs; of its types the one that this host runs."""
        return {
            "required": {
                "clip_name": (folders.names("text_encoders"),),
                "type": (["stable_diffusion"],),
            },
            "optional": {"device": (["default", "cpu"], {"advanced": True})},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, clip_name: str) -> bool | str:
        """Whether the file can be a text encoder; reads its header only."""
        return _checked("text_encoders", clip_name)

    def load_clip(
        self, clip_name: str, type: str = "stable_diffusion", device: str = "default"
    ) -> tuple[Clip]:
        """Load the file of this name."""
        return (loading.load_clip(folders.find("text_encoders", clip_name)),)


class VAELoader:
    """The autoencoder alone."""

    RETURN_TYPES = ("VAE",)
    FUNCTION = "load_vae"
    CATEGORY = "loaders"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"vae_name": (folders.names("vae"),)}}

    @classmethod
    def VALIDATE_INPUTS(cls, vae_name: str) -> bool | str:
        """Whether the file can be a VAE; reads its header only."""
        return _checked("vae", vae_name)

    def load_vae(self, vae_name: str) -> tuple[Vae]:
        """Load the file of this name."""
        return (loading.load_vae(folders.find("vae", vae_name)),)


class LoraLoader:
    """A LoRA, added to a MODEL and a CLIP."""

    RETURN_TYPES = ("MODEL", "CLIP")
    FUNCTION = "load_lora"
    CATEGORY = "loaders"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        strength = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}
        return {
            "required": {
                "model": ("MODEL",),
                "clip": ("CLIP",),
                "lora_name": (folders.names("loras"),),
                "strength_model": ("FLOAT", strength),
                "strength_clip": ("FLOAT", strength),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, lora_name: str) -> bool | str:
        """Whether the file can be a LoRA; reads its header only."""
        return _checked("loras", lora_name)

    def load_lora(
        self, model: Model, clip: Clip, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Model, Clip]:
        """Add the file of this name; the MODEL and CLIP given stay as they are."""
        path = folders.find("loras", lora_name)
        return apply_lora(model, clip, path, strength_model, strength_clip)


class ControlNetLoader:
    """A ControlNet or a T2I adapter."""

    RETURN_TYPES = ("CONTROL_NET",)
    FUNCTION = "load_controlnet"
    CATEGORY = "loaders"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"control_net_name": (folders.names("controlnet"),)}}

    @classmethod
    def VALIDATE_INPUTS(cls, control_net_name: str) -> bool | str:
        """Whether the file can be a ControlNet; reads its header only."""
        return _checked("controlnet", control_net_name)

    def load_controlnet(self, control_net_name: str) -> tuple[ControlBase]:
        """Load the file of this name."""
        return (loading.load_control_net(folders.find("controlnet", control_net_name)),)


CORE_NODES = {
    "CheckpointLoaderSimple": CheckpointLoaderSimple,
    "UNETLoader": UNETLoader,
    "CLIPLoader": CLIPLoader,
    "VAELoader": VAELoader,
    "LoraLoader": LoraLoader,
    "ControlNetLoader": ControlNetLoader,
}
