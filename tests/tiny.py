"""Tiny random models in Stable Diffusion 1.5's own topology, the same at every call.

Four levels, two layers each, cross-attention on all but the deepest: twelve skips and a middle, as
the full-size U-Net has. A forward pass of one 8 x 8 latent takes milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

CONTEXT = 16  # width of the text embedding
CHANNELS = (8, 16, 16, 16)
SCALE = 0.18215  # latent scaling of SD 1.x
POOLED = 24  # width of the pooled text of the tiny SDXL
Y_WIDTH = POOLED + 6 * 256


def tiny_unet(
    *,
    in_channels: int = 4,
    layers: int = 2,
    seed: int = 0,
    channels: tuple[int, ...] = CHANNELS,
    **more: Any,
) -> UNet2DConditionModel:
    """Return a seeded U-Net: (B, `in_channels`, h, w) -> (B, 4, h, w), h and w multiples of 8;
    `more` are further values of its configuration.
    """
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = {
            "sample_size": 8,
            "in_channels": in_channels,
            "out_channels": 4,
            "layers_per_block": layers,
            "block_out_channels": channels,
            "down_block_types": ("CrossAttnDownBlock2D",) * (len(channels) - 1) + ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (len(channels) - 1),
            "norm_num_groups": 4,
            "cross_attention_dim": CONTEXT,
            "attention_head_dim": 2,
        }
        unet = UNet2DConditionModel(**{**config, **more})
    return _frozen(unet)


def tiny_sdxl_unet() -> UNet2DConditionModel:
    """Return a seeded U-Net that takes SDXL's vector, as `y`, (B, `Y_WIDTH`)."""
    return tiny_unet(class_embed_type="projection", projection_class_embeddings_input_dim=Y_WIDTH)


def tiny_controlnet(
    unet: UNet2DConditionModel, *, zero: bool = False, seed: int = 1
) -> ControlNetModel:
    """Return a ControlNet copied from `unet`; hints are (B, 3, 8h, 8w).

    With `zero` its zero convolutions are untrained (all residuals are exactly 0); otherwise they
    are random, so that control visibly changes the result.
    """
    from diffusers import ControlNetModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net: ControlNetModel = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=(4, 4, 8, 8)
        )
        if not zero:
            taps = (*net.controlnet_down_blocks, net.controlnet_mid_block)
            for layer in (*taps, net.controlnet_cond_embedding.conv_out):
                for parameter in layer.parameters():
                    nn.init.normal_(parameter, std=0.3)
    return _frozen(net)


def tiny_clip(*, layers: int = 3, seed: int = 2) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Return a byte-level tokenizer (77 tokens, eos pads) and a text encoder `CONTEXT` wide."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    symbols = list(bytes_to_unicode().values())
    tokens = [*symbols, *(f"{s}</w>" for s in symbols), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=CONTEXT,
        intermediate_size=2 * CONTEXT,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=CONTEXT,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return tokenizer, _frozen(CLIPTextModel(config))


def tiny_model(unet: UNet2DConditionModel | None = None) -> Model:
    """Return a MODEL around `unet` (default: `tiny_unet()`) with SD 1.x's noise schedule."""
    return Model(BaseModel(unet or tiny_unet(), DiscreteSampling.from_betas(), latent_scale=SCALE))


def tiny_conditioning(seed: int = 3, batch: int = 1, tokens: int = 77) -> list[list[Any]]:
    """Return a random CONDITIONING for the tiny U-Net."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(batch, tokens, CONTEXT, generator=generator), {}]]


def _frozen(module: Any) -> Any:
    return module.eval().requires_grad_(False)
