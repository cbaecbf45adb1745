"""Tiny models on disk, as people have them: pipeline folders, single files, LoRAs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

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
