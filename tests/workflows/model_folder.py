"""A `models` folder as people have it: Stable Diffusion 1.x files of every making, but tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.headless.models.ldm import unet_names, vae_names
from tests.headless.models.t2i_files import adapter, tencent_names
from tests.headless.models.tiny_files import sd_clip, sd_vae, seeded

CHANNELS = (32, 64, 64, 64)
LAYERS = 1
Tensors = dict[str, Tensor]


def write_models(folder: Path) -> Path:
    """Two checkpoints, a VAE, three ControlNets and a T2I adapter; returns `folder`."""
    for kind in ("checkpoints", "vae", "controlnet/1.5"):
        (folder / kind).mkdir(parents=True)
    one, other = (_checkpoint(seed) for seed in (1, 2))
    _save(folder / "checkpoints" / "pruned fp16.safetensors", _halves(one))
    training = {"model_ema.decay": torch.ones(1), "alphas_cumprod": torch.ones(1000)}
    ema = {f"model_ema.{name.replace('.', '')}": t for name, t in other.items() if "model." in name}
    whole = {"state_dict": {**other, **ema, **training}, "global_step": 840000}
    torch.save(whole, folder / "checkpoints" / "full-ema.ckpt")
    vae = {**_vae(3), "loss.logvar": torch.ones(1), "model_ema.num_updates": torch.tensor(1)}
    _save(folder / "vae" / "mse-ema.safetensors", vae)
    _save(folder / "controlnet" / "1.5" / "scribble.safetensors", _halves(_ldm(_net(4), LAYERS)))
    pose = {f"control_model.{name}": tensor for name, tensor in _ldm(_net(5), LAYERS).items()}
    torch.save(pose, folder / "controlnet" / "pose.pth")
    _save(folder / "controlnet" / "depth.safetensors", _net(6).state_dict())
    t2i = adapter("full_adapter", channels=CHANNELS)
    torch.save(_halves(tencent_names(t2i.state_dict())), folder / "controlnet" / "t2i_depth.pth")
    return folder


def _unet(seed: int) -> Any:
    from diffusers import UNet2DConditionModel

    return seeded(
        lambda: UNet2DConditionModel(
            block_out_channels=CHANNELS,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            layers_per_block=LAYERS,
            cross_attention_dim=64,
            attention_head_dim=8,
        ),
        seed,
    )


def _net(seed: int) -> Any:
    from diffusers import ControlNetModel

    def make() -> Any:
        net = ControlNetModel.from_unet(
            _unet(seed), conditioning_embedding_out_channels=(4, 6, 8, 10)
        )
        for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
            torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.2)
        return net

    return seeded(make, seed)


def _checkpoint(seed: int) -> Tensors:
    parts = {
        "model.diffusion_model.": _ldm(_unet(seed), LAYERS),
        "first_stage_model.": _vae(seed),
        "cond_stage_model.transformer.text_model.": {
            name.removeprefix("text_model."): tensor
            for name, tensor in sd_clip().state_dict().items()
        },
    }
    return {
        prefix + name: tensor for prefix, part in parts.items() for name, tensor in part.items()
    }


def _vae(seed: int) -> Tensors:
    made = sd_vae()
    generator = torch.Generator().manual_seed(seed)
    bias = made.decoder.conv_out.bias  # so that two VAEs give two pictures
    made.decoder.conv_out.bias = torch.nn.Parameter(bias + torch.rand(3, generator=generator) / 2)
    return vae_names(made.state_dict(), len(made.config.block_out_channels))


def _ldm(module: Any, layers: int) -> Tensors:
    named = unet_names(module.state_dict(), layers)
    # The deepest level has no attention, so its upsampler comes one place earlier.
    early = (f"output_blocks.{layers}.2.", f"output_blocks.{layers}.1.")
    return {name.replace(*early): tensor for name, tensor in named.items()}


def _halves(tensors: Tensors) -> Tensors:
    return {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}


def _save(path: Path, tensors: Tensors) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
