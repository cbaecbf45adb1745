"""What training writes as a single file, in ComfyUI's own loader: the residuals are diffusers'."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.training.export import save_single_file
from controlstack.training.ldm_layout import ldm_weights, unread_by_comfyui
from controlstack.training.sdxl import as_sampled
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from
from tests.comfyui import small

# What tells Stable Diffusion's families apart in ComfyUI is kept: 320 channels and the texts'
# widths. Levels, layers and what they attend to are fewer.
FAMILIES: dict[str, dict[str, Any]] = {
    "sd15": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd21": {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10),
        "use_linear_projection": True,
    },
    "sdxl": {
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10),
        "use_linear_projection": True,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}


def trained(family: str, hint_channels: str = "16,32,96,256") -> Any:
    """A network after some training: no weight is zero."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    shape = {
        "block_out_channels": (320, 640),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        **FAMILIES[family],
    }
    unet = UNet2DConditionModel(**shape)
    network = control_net_from(unet, NetSettings(hint_channels=hint_channels), seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    return network.eval()


@torch.no_grad()
def residuals(network: Any, *given: Tensor, **also: Any) -> list[Tensor]:
    """Diffusers' residuals, the middle one last."""
    down, middle = network(*given, return_dict=False, **also)
    return [*down, middle]


@torch.no_grad()
def core_residuals(net: Any, *given: Tensor, **also: Any) -> list[Tensor]:
    """The core network's, in the same order."""
    noisy, times, words, hints = given
    found = net.control_model(x=noisy, hint=hints, timesteps=times, context=words, **also)
    return [*found["output"], *found["middle"]]


def told(family: str, generator: torch.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """What SDXL is told of pictures of 96 x 64 pixels: by the core's own model, and by us."""
    if family != "sdxl":
        return {}, {}
    pooled = torch.randn(2, 1280, generator=generator)
    core = small.base(small.SDXL).model
    y = core.encode_adm(pooled_output=pooled, width=96, height=64, device="cpu")
    return {"y": y}, {"added_cond_kwargs": as_sampled(pooled, 64, 96)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_core_gives_diffusers_residuals(
    comfy: ModuleType, family: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    import comfy.controlnet

    network = trained(family)
    assert unread_by_comfyui(network) is None
    path = tmp_path / "trained.safetensors"
    save_single_file(network, path, dtype, {"base": family})
    net = comfy.controlnet.load_controlnet(str(path))
    net.control_model.float()  # computed in one type by both, from what the file holds
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype).float()

    generator = torch.Generator().manual_seed(3)
    given = (
        torch.randn(2, 4, 8, 12, generator=generator),
        torch.tensor([7.0, 640.0]),
        torch.randn(2, 5, FAMILIES[family]["cross_attention_dim"], generator=generator),
        torch.rand(2, 3, 64, 96, generator=generator),
    )
    theirs_too, ours_too = told(family, generator)
    found = core_residuals(net, *given, **theirs_too)
    wanted = residuals(network, *given, **ours_too)
    assert len(found) == len(wanted) == 5
    for theirs, ours in zip(found, wanted, strict=True):
        assert ours.std() > 0.01
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=2e-5)


def test_a_whole_sd15_network_has_the_names_and_shapes_of_the_cores(comfy: ModuleType) -> None:
    import comfy.cldm.cldm
    import comfy.ops
    from diffusers import ControlNetModel

    with torch.device("meta"):
        ours = ldm_weights(ControlNetModel(cross_attention_dim=768))
    core = comfy.cldm.cldm.ControlNet(
        image_size=32,
        in_channels=4,
        hint_channels=3,
        model_channels=320,
        num_res_blocks=[2, 2, 2, 2],
        channel_mult=[1, 2, 4, 4],
        transformer_depth=[1] * 6 + [0] * 2,
        transformer_depth_middle=1,
        context_dim=768,
        num_heads=8,
        use_spatial_transformer=True,
        legacy=False,
        operations=comfy.ops.disable_weight_init,
        device="meta",
    ).state_dict()
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in core.items()}


def test_hint_encoders_that_the_core_has_no_place_for_are_known(
    comfy: ModuleType, tmp_path: Path
) -> None:
    import comfy.controlnet

    narrow = trained("sd15", "8,16,32,64")
    assert "hint encoder" in str(unread_by_comfyui(narrow))
    path = tmp_path / "narrow.safetensors"
    save_single_file(narrow, path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        comfy.controlnet.load_controlnet(str(path))
