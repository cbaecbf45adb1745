"""What the training benchmark trains on: Stable Diffusion 1.5 with a share of its channels and
random weights, as a diffusers folder, and random pictures in Hugging Face's imagefolder layout.

The topology is SD 1.5's own, so that the parts cost what they cost there relative to each other.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SD15 = {"unet": (320, 640, 1280, 1280), "vae": (128, 256, 512, 512), "text": 768}
"""Channels of Stable Diffusion 1.5 (runwayml/stable-diffusion-v1-5, config.json of each part)."""


def write_base(folder: Path, share: int, layers: int = 12) -> None:
    """SD 1.5 with 1/`share` of its channels, random weights from seed 0, as a diffusers folder."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDPMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from controlstack.demo.models import BASE

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(BASE / "tokenizer")
    width = SD15["text"] // share
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=[c // share for c in SD15["unet"]],
        cross_attention_dim=width,
        attention_head_dim=8,
        norm_num_groups=32 // (share // 2 or 1),
    )
    vae = AutoencoderKL(
        block_out_channels=[c // share for c in SD15["vae"]],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        layers_per_block=2,
        norm_num_groups=32 // (share // 2 or 1),
        sample_size=512,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, 12 // share),
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def write_pictures(folder: Path, count: int, edge: int) -> None:
    """`count` pictures of `edge` pixels with hints and captions, as an imagefolder."""
    random = np.random.default_rng(0)
    for name in ("images", "hints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        row = {"text": f"a picture of number {index}"}
        for name, column in (("images", "file_name"), ("hints", "conditioning_image_file_name")):
            coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            path = f"{name}/{index:05}.png"
            Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC).save(
                folder / path
            )
            row[column] = path
        lines.append(json.dumps(row))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
