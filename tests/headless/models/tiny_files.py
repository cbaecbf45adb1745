"""Tiny models on disk, as people have them: pipeline folders, single files, LoRAs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.headless.models.ldm import unet_names, vae_names
from tests.tiny import tiny_clip, tiny_controlnet, tiny_unet


def seeded(factory: Any, seed: int = 7) -> Any:
    """What `factory()` makes, frozen, with the weights of this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return factory().eval().requires_grad_(False)


def tiny_vae() -> Any:
    """An AutoencoderKL with factor 8."""
    from diffusers import AutoencoderKL

    return seeded(
        lambda: AutoencoderKL(
            block_out_channels=(4, 4, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=2,
            layers_per_block=1,
        )
    )


def tiny_taesd() -> Any:
    """An AutoencoderTiny with factor 8."""
    from diffusers import AutoencoderTiny

    return seeded(
        lambda: AutoencoderTiny(
            encoder_block_out_channels=(4, 4, 4, 4),
            decoder_block_out_channels=(4, 4, 4, 4),
            num_encoder_blocks=(1, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 1),
        )
    )


def save_pipeline(folder: Path, vae: Any = None, half: bool = False) -> Path:
    """A diffusers pipeline folder of tiny models; `half` stores float16."""
    tokenizer, text_encoder = tiny_clip()
    parts = {"unet": tiny_unet(), "vae": vae or tiny_vae(), "text_encoder": text_encoder}
    for name, module in parts.items():
        (module.half() if half else module).save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    schedule = {
        "_class_name": "DDIMScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 1000,
    }
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def save_control_net(folder: Path) -> Path:
    """A diffusers ControlNet folder."""
    tiny_controlnet(tiny_unet()).save_pretrained(folder)
    return folder


def sd_unet() -> Any:
    """A U-Net with what shapes cannot tell left as in SD 1.x: eight heads, groups of 32."""
    from diffusers import UNet2DConditionModel

    return seeded(
        lambda: UNet2DConditionModel(
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=64,
            attention_head_dim=8,
        )
    )


def sd_control_net(unet: Any) -> Any:
    """A ControlNet for `sd_unet` with random zero convolutions."""
    from diffusers import ControlNetModel

    net = seeded(
        lambda: ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 6, 8, 10))
    )
    generator = torch.Generator().manual_seed(1)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    return net


def sd_vae() -> Any:
    """An AutoencoderKL with groups of 32."""
    from diffusers import AutoencoderKL

    return seeded(
        lambda: AutoencoderKL(
            block_out_channels=(32, 32, 32, 64),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
        )
    )


def sd_clip() -> Any:
    """A CLIP text encoder with OpenAI's 49408 tokens, one head of 64."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return seeded(
        lambda: CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=64,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=1,
                max_position_embeddings=77,
                hidden_act="quick_gelu",
            )
        )
    )


def checkpoint_tensors(unet: Any, vae: Any, clip: Any) -> dict[str, torch.Tensor]:
    """The tensors of a whole SD 1.x checkpoint in CompVis' layout."""
    parts = {
        "model.diffusion_model.": unet_names(unet.state_dict(), 1),
        "first_stage_model.": vae_names(vae.state_dict(), 4),
        "cond_stage_model.transformer.text_model.": clip.state_dict(),
    }
    return {
        prefix + name.removeprefix("text_model."): tensor.contiguous()
        for prefix, tensors in parts.items()
        for name, tensor in tensors.items()
    }
