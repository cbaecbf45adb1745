"""Configurations told from shapes, with diffusers' own modules as the witness."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_files.unet_layout import control_net_config, unet_config
from tests.headless.models.ldm import unet_names

PLAIN: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 8,
}
UPS = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
SD1 = {**PLAIN, "cross_attention_dim": 768}
SD2 = {**PLAIN, "cross_attention_dim": 1024, "use_linear_projection": True}


def tensors(kind: str, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    import diffusers

    with torch.device("meta"):
        state: dict[str, torch.Tensor] = getattr(diffusers, kind)(**config).state_dict()
    return state


def shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


SDXL = {
    "block_out_channels": (64, 64, 128),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": (1, 1, 2),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2, 3),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SDXL_UPS = {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}


@pytest.mark.parametrize("ldm", [False, True], ids=["diffusers", "ldm"])
def test_sdxls_unet_and_control_net_are_told(ldm: bool) -> None:
    for kind, tell, more in (
        ("UNet2DConditionModel", unet_config, SDXL_UPS),
        ("ControlNetModel", control_net_config, {}),
    ):
        state = tensors(kind, {**SDXL, **more})
        told = tell(shapes(unet_names(state, 1) if ldm else state))
        assert told.pop("_class_name") == kind
        assert shapes(tensors(kind, told)) == shapes(state)
        assert told["attention_head_dim"] == [1, 1, 2]


def test_a_shortened_middle_is_said() -> None:
    state = shapes(tensors("UNet2DConditionModel", {**SDXL, **SDXL_UPS}))
    middle = "mid_block.attentions.0.transformer_blocks.2."
    short = {name: shape for name, shape in state.items() if not name.startswith(middle)}
    with pytest.raises(UserError, match="its middle has 2 blocks of attention and its lowest lev"):
        unet_config(short)


@pytest.mark.parametrize("config", [SD1, SD2], ids=["SD 1.x", "SD 2.x"])
@pytest.mark.parametrize("ldm", [False, True], ids=["diffusers", "ldm"])
def test_a_unet_is_told_in_both_layouts(config: dict[str, Any], ldm: bool) -> None:
    state = tensors("UNet2DConditionModel", {**config, **UPS})
    told = unet_config(shapes(unet_names(state, 1) if ldm else state))
    assert told.pop("_class_name") == "UNet2DConditionModel"
    assert shapes(tensors("UNet2DConditionModel", told)) == shapes(state)
    assert told["cross_attention_dim"] == config["cross_attention_dim"]
    assert told["use_linear_projection"] == config.get("use_linear_projection", False)


def test_a_control_net_is_told_with_its_hint_encoder() -> None:
    hint = {"conditioning_embedding_out_channels": (4, 6, 8, 10)}
    state = tensors("ControlNetModel", {**SD1, **hint})
    told = control_net_config(shapes(state))
    assert told.pop("_class_name") == "ControlNetModel"
    assert shapes(tensors("ControlNetModel", told)) == shapes(state)


def test_what_is_not_of_the_kind_is_said() -> None:
    known = shapes(tensors("UNet2DConditionModel", {**SD1, **UPS}))
    with pytest.raises(
        UserError, match=r"takes classes beside the text \(class_embedding.weight\)"
    ):
        unet_config({**known, "class_embedding.weight": (1, 1)})
    with pytest.raises(UserError, match=r"no whole U-Net.*conv_in.weight"):
        unet_config({name: shape for name, shape in known.items() if name != "conv_in.weight"})
    with pytest.raises(UserError, match=r"conv_out.weight. is missing"):
        unet_config({"x": (1,)})
