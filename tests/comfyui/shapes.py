"""Names and shapes of model files for the real ComfyUI: the smallest that its detection accepts.

Names and shapes are read from ComfyUI's own modules on the meta device, the values are `drawn`; its
own loaders read the files. Why they are not smaller: `model_channels` 320 and the list of
transformer depths are how ComfyUI tells one U-Net family from another, and the diffusers layout is
looked up in a table of known nets, in which only the channel multipliers of real ones stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

Shapes = dict[str, tuple[int, ...]]
Config = dict[str, Any]

UNET: Config = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
}
SD15: Config = {**UNET, "context_dim": 768, "num_heads": 8, "use_linear_in_transformer": False}
SDXL: Config = {
    **UNET,
    "context_dim": 2048,
    "num_head_channels": 64,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
TWO_LEVELS: Config = {
    **SD15,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 1],
    "transformer_depth": [1, 0],
    "transformer_depth_output": [0, 0, 0, 1],
    "transformer_depth_middle": 1,
}
UNETS: dict[str, Config] = {
    # Two levels of one width. Nearly every parity case runs on this one.
    "sd15": TWO_LEVELS,
    "sd15_inpaint": {**TWO_LEVELS, "in_channels": 9},
    # SD 1.5's real widths and layers: where the features of a T2I adapter belong.
    "sd15_full": {
        **SD15,
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1] + [0] * 7,
        "transformer_depth_output": [0] * 12,
        "transformer_depth_middle": -2,
    },
    # Widths of the smallest net in ComfyUI's table of diffusers layouts that suits SD 1.5.
    "sd15_wide": {
        **SD15,
        "num_res_blocks": [1, 1, 1],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [1, 0, 0],
        "transformer_depth_output": [0, 0, 0, 0, 0, 0],
        "transformer_depth_middle": -2,
    },
    # The fewest transformers (seven) of all that ComfyUI samples as SDXL.
    "sdxl": {
        **SDXL,
        "num_res_blocks": [1, 1, 1],
        "channel_mult": [1, 1, 1],
        "transformer_depth": [0, 2, 5],
        "transformer_depth_output": [0, 0, 0, 0, 0, 0],
        "transformer_depth_middle": -1,
    },
    # SDXL's real widths and layers: what diffusers-layout nets and T2I adapters fit.
    "sdxl_wide": {
        **SDXL,
        "num_res_blocks": [2, 2, 2],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 1, 1, 2, 2],
        "transformer_depth_output": [0] * 9,
        "transformer_depth_middle": -2,
    },
}
DIFFUSERS_NETS: dict[str, Config] = {
    "sd15_wide": {
        **UNETS["sd15_wide"],
        "transformer_depth": [0, 1, 1],
        "num_head_channels": 64,
    },
    "sdxl_wide": {
        **UNETS["sdxl_wide"],
        "context_dim": 1,
        "transformer_depth": [0] * 6,
        "transformer_depth_middle": 0,
    },
}
MMDIT: Config = {
    "in_channels": 16,
    "out_channels": 16,
    "depth": 3,
    "input_size": None,
    "adm_in_channels": 2048,
    "context_embedder_config": {
        "target": "torch.nn.Linear",
        "params": {"in_features": 4096, "out_features": 192},
    },
    "num_patches": 16 * 16,
    "pos_embed_max_size": 16,
}
"""SD 3 with three blocks of three heads; 16 x 16 patches are enough for latents up to 32 x 32."""

UNION_TYPES = 6
LORA_RANK = 4
WAN_WIDTH = 8


def on_meta(make: Callable[..., nn.Module], config: Config) -> Shapes:
    """Names and shapes of a module of ComfyUI's, without its weights."""
    import comfy.ops

    module = make(**config, device="meta", operations=comfy.ops.disable_weight_init)
    return shapes_of(module)


def shapes_of(module: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def unet(family: str) -> Shapes:
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return on_meta(UNetModel, UNETS[family])


def mmdit() -> Shapes:
    from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT

    return on_meta(MMDiT, MMDIT)


def ldm_net(config: Config) -> Shapes:
    from comfy.cldm.cldm import ControlNet

    parts = {k: v for k, v in config.items() if k != "out_channels"}
    return on_meta(ControlNet, {**parts, "hint_channels": 3})


def diffusers_net(family: str, union: bool = False) -> Shapes:
    """A ControlNet by diffusers' names; with `union` in xinsir's layout, which adds to them."""
    import comfy.utils

    config = DIFFUSERS_NETS[family]
    types = {"union_controlnet_num_control_type": UNION_TYPES} if union else {}
    ours = ldm_net({**config, **types})
    theirs = {name: key for key, name in comfy.utils.unet_to_diffusers(config).items()}
    hint = hint_names([k for k in ours if k.startswith("input_hint_block.")])
    return {theirs.get(k) or hint.get(k) or zero_conv_name(k): v for k, v in ours.items()}


def hint_names(names: Iterable[str]) -> dict[str, str]:
    """diffusers numbers the hint encoder's convolutions: conv_in, blocks.0 ..., conv_out."""
    numbers = sorted({int(name.split(".")[1]) for name in names})
    place = {number: f"blocks.{i - 1}" for i, number in enumerate(numbers)}
    place |= {numbers[0]: "conv_in", numbers[-1]: "conv_out"}
    return {
        f"input_hint_block.{number}.{kind}": f"controlnet_cond_embedding.{where}.{kind}"
        for number, where in place.items()
        for kind in ("weight", "bias")
    }


def zero_conv_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "zero_convs":
        return f"controlnet_down_blocks.{parts[1]}.{parts[3]}"
    if parts[0] == "middle_block_out":
        return f"controlnet_mid_block.{parts[2]}"
    return name.replace(".attn.in_proj.", ".attn.in_proj_")  # of a union net only


def control_lora(family: str) -> Shapes:
    """What is not of the U-Net itself, and low-rank differences to its matrices and kernels."""
    base, net = unet(family), ldm_net(UNETS[family])
    shapes: Shapes = {"lora_controlnet": ()}
    for name, shape in net.items():
        if name not in base:
            shapes[name] = shape
        elif len(shape) > 1:
            stem = name.removesuffix(".weight")
            shapes[f"{stem}.up"] = (shape[0], LORA_RANK)
            shapes[f"{stem}.down"] = (LORA_RANK, *shape[1:])
    return shapes


def t2i_adapter() -> Shapes:
    """The light adapter, an eighth of the full one."""
    from comfy.t2i_adapter.adapter import Adapter_light

    with torch.device("meta"):
        return shapes_of(Adapter_light(cin=192, channels=[320, 640, 1280, 1280], nums_rb=4))


def t2i_adapter_xl() -> Shapes:
    from comfy.t2i_adapter.adapter import Adapter

    with torch.device("meta"):
        adapter = Adapter(
            cin=768,
            channels=[320, 640, 1280, 1280],
            nums_rb=2,
            ksize=1,
            sk=True,
            use_conv=False,
            xl=True,
        )
    return shapes_of(adapter)


def sd3_net(channels: int = 16) -> Shapes:
    """An SD 3 ControlNet of one block, by diffusers' names; an inpainting one has 17 `channels`."""
    import comfy.utils
    from comfy.cldm.mmdit import ControlNet

    config = {**MMDIT, "num_blocks": 1, "control_latent_channels": channels}
    ours = on_meta(ControlNet, config)
    return renamed(ours, comfy.utils.mmdit_to_diffusers({"depth": 3, "num_blocks": 1}))


def renamed(ours: Shapes, names: Mapping[str, Any]) -> Shapes:
    """By the names of a table of ComfyUI's for diffusers files: a file's name -> its own, or its
    own and the rows of it (dimension, first, count) that the file has under that name."""
    shapes: Shapes = {}
    used = set()
    for name, target in names.items():
        key, cut = (target, None) if isinstance(target, str) else target[:2]
        if key in ours:
            used.add(key)
            shape = ours[key]
            shapes[name] = shape if cut is None else (cut[2], *shape[1:])
    return shapes | {name: shape for name, shape in ours.items() if name not in used}


def sd35_net() -> Shapes:
    """An SD 3.5 ControlNet of one block, in Stability's layout; it takes embedders of its base."""
    import comfy.ops
    import comfy.utils
    from comfy.cldm.dit_embedder import ControlNetEmbedder

    module = ControlNetEmbedder(
        img_size=None,
        patch_size=2,
        in_chans=16,
        attention_head_dim=64,
        num_attention_heads=3,
        adm_in_channels=2048,
        num_layers=1,
        main_model_double=3,
        double_y_emb=False,
        device="meta",
        dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )
    theirs = {pair[0]: pair[1] for pair in comfy.utils.MMDIT_MAP_BASIC}
    own = {k: v for k, v in shapes_of(module).items() if not k.startswith("x_embedder.")}
    return {theirs.get(name, name): shape for name, shape in own.items()}


def taesd(channels: int) -> Shapes:
    """A small VAE, of SD 3 and Flux with 16 channels, of SDXL with 4."""
    from comfy.taesd.taesd import TAESD

    with torch.device("meta"):
        return shapes_of(TAESD(latent_channels=channels))


def wan_vae() -> Shapes:
    """Qwen-Image's VAE, which is Wan's; older hosts know its real width only, 96."""
    from comfy.ldm.wan.vae import WanVAE

    with torch.device("meta"):
        vae = WanVAE(dim=WAN_WIDTH, z_dim=16, temperal_downsample=[False, True, True])
    return shapes_of(vae)
