"""Small models and nets of ComfyUI's other kinds, in memory: adapters and transformers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from .shapes import MMDIT
from .small import CPU, fill

FLUX: dict[str, Any] = {
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 768,
    "context_in_dim": 4096,
    "hidden_size": 64,
    "mlp_ratio": 4.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": False,
}


def _flux_sizes() -> dict[str, Any]:
    """`FLUX`, and what newer hosts want to be told."""
    from comfy.ldm.flux.model import FluxParams

    newer: dict[str, Any] = {"txt_ids_dims": []}
    known = {field.name for field in fields(FluxParams)}
    return FLUX | {name: value for name, value in newer.items() if name in known}


def _operations() -> Any:
    import comfy.ops

    return {"operations": comfy.ops.disable_weight_init, "device": CPU, "dtype": torch.float32}


def t2i_adapter(seed: int, channels: int = 32) -> Any:
    """A T2I adapter for a U-Net of `channels`, which doubles them at three levels."""
    import comfy.controlnet
    import comfy.t2i_adapter.adapter

    widths = [channels, 2 * channels, 2 * channels, 2 * channels]
    module = comfy.t2i_adapter.adapter.Adapter(
        cin=192, channels=widths, nums_rb=2, ksize=1, sk=True, use_conv=False, xl=False
    )
    fill(module, seed)
    return comfy.controlnet.T2IAdapter(module, 3, 8, "nearest-exact", device=CPU)


def flux_net(seed: int) -> Any:
    """A Flux ControlNet of one block, of the kind that takes its hint as latents."""
    import comfy.controlnet
    import comfy.latent_formats
    import comfy.ldm.flux.controlnet

    module = comfy.ldm.flux.controlnet.ControlNetFlux(
        latent_input=True, **_flux_sizes(), **_operations()
    )
    fill(module, seed)
    return comfy.controlnet.ControlNet(
        module,
        compression_ratio=1,
        latent_format=comfy.latent_formats.SD3(),
        load_device=CPU,
        extra_conds=["y", "guidance"],
    )


def sd3_net(seed: int) -> Any:
    """An SD 3 ControlNet of one block."""
    import comfy.cldm.mmdit
    import comfy.controlnet
    import comfy.latent_formats

    module = comfy.cldm.mmdit.ControlNet(
        num_blocks=1, control_latent_channels=16, **MMDIT, **_operations()
    )
    fill(module, seed)
    return comfy.controlnet.ControlNet(
        module, compression_ratio=1, latent_format=comfy.latent_formats.SD3(), load_device=CPU
    )


def flux(seed: int = 1) -> Any:
    """A Flux MODEL of two blocks."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    config = comfy.supported_models.Flux({"image_model": "flux", **_flux_sizes()})
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.Flux(config, device=CPU)
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, CPU, CPU)


def aura_flow(seed: int = 1) -> Any:
    """An AuraFlow MODEL: four latent channels as Stable Diffusion's, and no place for control."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    sizes = {"dim": 64, "n_layers": 2, "n_double_layers": 1, "n_heads": 2, "global_conddim": 64}
    config = comfy.supported_models.AuraFlow({"cond_seq_dim": 2048, "max_seq": 256, **sizes})
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.AuraFlow(config, device=CPU)
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, CPU, CPU)
