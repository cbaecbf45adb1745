"""A pack for ComfyUI, for tests only: its loaders give the demo models, whatever file is named.

ComfyUI has no loader for networks of the demo's widths. Here its own MODEL, CONTROL_NET and sampler
get the demo's trained modules, so that the picture it makes can be seen and compared. What is
trained is trained on the demo's U-Net.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import comfy.patcher_extension
import comfy.supported_models
import torch
from torch import Tensor, nn

import nodes

NODE_CLASS_MAPPINGS: dict[str, type] = {}
CPU = torch.device("cpu")
_NOT_MADE_BY_COMFYUI = {"disable_unet_model_creation": True, "in_channels": 4, "model_channels": 32}


class DemoUNet(nn.Module):
    """diffusers' U-Net, called as ComfyUI calls its own."""

    dtype = torch.float32

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        control: dict[str, list[Tensor]] | None = None,
        transformer_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Tensor:
        """By way of the wrappers that ComfyUI's U-Net has here, EasyCache's among them."""
        given = transformer_options or {}
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        wrappers = comfy.patcher_extension.get_all_wrappers(kind, given)
        around = comfy.patcher_extension.WrapperExecutor.new_class_executor
        output: Tensor = around(self._forward, self, wrappers).execute(
            x, timesteps, context, y, control, given
        )
        return output

    def _forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        _: Tensor | None,
        control: dict[str, list[Tensor]] | None,
        __: dict[str, Any],
    ) -> Tensor:
        """Take the residuals out of `control`, as ComfyUI's U-Net does; `output` is one a skip."""
        residuals: dict[str, Any] = {}
        if control:
            down = [control["output"].pop() for _ in range(len(control["output"]))]
            residuals["down_block_additional_residuals"] = tuple(reversed(down))
            residuals["mid_block_additional_residual"] = control["middle"].pop()
        output: Tensor = self.unet(x, timesteps, context, return_dict=False, **residuals)[0]
        return output


class DemoControl(nn.Module):
    """diffusers' ControlNet, called as ComfyUI calls its own."""

    dtype = torch.float32

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor, **options: Any
    ) -> dict[str, list[Tensor]]:
        """All residuals at strength 1; ComfyUI scales them."""
        down, middle = self.network(x, timesteps, context, hint, return_dict=False)
        return {"middle": [middle], "output": list(down)}


class DemoClip:
    """The demo's text encoder behind the two calls that CLIPTextEncode makes."""

    def __init__(self, clip: Any) -> None:
        self.clip = clip

    def tokenize(self, text: str) -> str:
        """Left to `encode_from_tokens_scheduled`."""
        return text

    def encode_from_tokens_scheduled(self, text: str) -> Any:
        """The conditioning of `text`."""
        return self.clip.encode(text)


def load_checkpoint(self: object, ckpt_name: str) -> tuple[Any, ...]:
    """In the place of CheckpointLoaderSimple's."""
    from controlstack.demo.models import BASE
    from controlstack.headless.models import loading

    model, clip, vae = loading.load_checkpoint(BASE)
    config = comfy.supported_models.SD15(_NOT_MADE_BY_COMFYUI)
    config.set_inference_dtype(torch.float32, None)
    base = comfy.model_base.BaseModel(config, device=CPU)
    base.diffusion_model = DemoUNet(model.model.diffusion_model).eval().requires_grad_(False)
    with torch.inference_mode(False):  # which ComfyUI runs nodes in, and nothing is trained on
        train_on(*loading.load_checkpoint(BASE))
    return comfy.model_patcher.ModelPatcher(base, CPU, CPU), DemoClip(clip), vae


def train_on(model: Any, clip: Any, vae: Any) -> None:
    """Give the pack's training nodes the demo, whatever MODEL, CLIP and VAE are wired to them."""
    from controlstack.headless.training_base import base_of

    def training_base(*given: Any) -> Any:
        encoders = (clip, vae) if given[2] is not None else (None, None)
        return base_of(model, *encoders, "the demo model")

    # ComfyUI imports packs under names of its own.
    for name, module in list(sys.modules.items()):
        if name.endswith(".hosts.host") and hasattr(module, "HINT_WEIGHTS"):
            ours = importlib.import_module(".comfy.host", name.rpartition(".")[0])
            ours.ComfyHost.training_base = training_base


def load_controlnet(path: str, *args: Any, **options: Any) -> Any:
    """In the place of comfy.controlnet's: the demo's net of the kind that the file's name tells."""
    from controlstack.demo.models import CONTROL_NETS
    from controlstack.headless.models import loading

    folder = next(folder for word, folder in CONTROL_NETS.items() if word in Path(path).name)
    network = loading.load_control_network(folder).eval().requires_grad_(False)
    return comfy.controlnet.ControlNet(DemoControl(network), load_device=CPU)


nodes.CheckpointLoaderSimple.load_checkpoint = load_checkpoint
comfy.controlnet.load_controlnet = load_controlnet
