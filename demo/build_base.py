"""The base of the demo model: its text encoder and U-Net, trained together to predict noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..training.loop import LoopSettings, Progress, train
from ..training.noise import (
    add_noise,
    min_snr_loss,
    offset_noise,
    scaled_linear_alphas,
    stratified_timesteps,
)
from ..training.parallel import processes, rank
from .build_text import HIDDEN, MAX_TOKENS, text_encoder

CHANNELS = (32, 64, 96, 96)
SEED = 11


@dataclass(frozen=True)
class BaseRecipe:
    """What made the base: `batch` of all processes together, AdamW's rate, the share of dropped
    prompts (for guidance), offset noise, min-SNR's gamma. For the first `short` of the run prompts
    are padded to the longest caption's length only, which is a quarter faster; the rest teaches the
    usual 77 tokens.
    """

    steps: int
    batch: int = 48
    rate: float = 1.2e-3
    prompt_dropout: float = 0.1
    offset: float = 0.3
    gamma: float = 5.0
    short: float = 0.75
    seconds: float = float("inf")


def new_unet() -> Any:
    """An untrained U-Net in Stable Diffusion 1.5's topology: four levels of two layers, twelve
    skips and a middle.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=CHANNELS,
        down_block_types=(*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        cross_attention_dim=HIDDEN,
        attention_head_dim=2,
        norm_num_groups=8,
    )


def new_scheduler() -> Any:
    """Stable Diffusion's noise schedule; trailing steps, as few steps else never see pure noise."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
        prediction_type="epsilon",
    )


def tokens_of(tokenizer: Any, captions: list[str]) -> Tensor:
    """Token ids (n, 77), padded as CLIP's pipelines pad."""
    padded = tokenizer(captions, padding="max_length", max_length=MAX_TOKENS, truncation=True)
    return torch.tensor(padded["input_ids"])


def prompt_length(tokens: Tensor, short: float, steps: int) -> Callable[[int], int]:
    """How many tokens of a prompt a step looks at: enough for the longest caption and two of
    padding for the first `short` of the steps, then all 77.
    """
    end = int(tokens[0, -1])
    longest = int((tokens != end).sum(1).max()) + 2
    return lambda step: longest if step < short * steps else MAX_TOKENS


def plain_attention(unet: Any) -> None:
    """Attention as two matrix products: the fused kernel's backward pass is slow in bfloat16 on a
    CPU, half of a training step.
    """
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())


def train_base(
    recipe: BaseRecipe,
    latents: Tensor,
    captions: list[str],
    tokenizer: Any,
    report: Callable[[Progress], None],
    save: Callable[[Any, Any, int], None],
) -> tuple[Any, Any]:
    """Train and return (text encoder, U-Net). `latents` (n, 4, 16, 16); `save(text, unet, step)`
    gets averaged weights.
    """
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED + rank())
    text, unet = text_encoder(len(tokenizer)), new_unet()
    plain_attention(unet)
    both = nn.ModuleList([text, unet])
    alphas = scaled_linear_alphas()
    tokens, empty = tokens_of(tokenizer, captions), tokens_of(tokenizer, [""])
    length = prompt_length(tokens, recipe.short, recipe.steps)
    batch = max(1, recipe.batch // processes())

    def loss_of(step: int) -> Tensor:
        picked = torch.randint(len(latents), (batch,), generator=generator)
        dropped = torch.rand(batch, 1, generator=generator) < recipe.prompt_dropout
        clean, timesteps = latents[picked], stratified_timesteps(batch, 1000, generator)
        noise = offset_noise(clean, recipe.offset, generator)
        noisy = add_noise(clean, noise, alphas, timesteps)
        with torch.autocast("cpu", torch.bfloat16):
            words = text(
                torch.where(dropped, empty, tokens[picked])[:, : length(step)]
            ).last_hidden_state
            predicted = unet(noisy, timesteps, words, return_dict=False)[0]
        return min_snr_loss(predicted.float(), noise, alphas, timesteps, recipe.gamma)

    settings = LoopSettings(recipe.steps, batch, seconds=recipe.seconds)
    groups = [{"params": list(both.parameters()), "lr": recipe.rate}]
    train(both, groups, loss_of, settings, report, lambda step: save(text, unet, step))
    return text, unet


def save_base(folder: Path, vae: Any, text: Any, tokenizer_folder: Path, unet: Any) -> None:
    """Write the ordinary diffusers folder that `StableDiffusionPipeline.from_pretrained` loads, in
    half precision.
    """
    import copy

    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTokenizer

    halves = [copy.deepcopy(part).half() for part in (vae, text, unet)]
    pipeline = StableDiffusionPipeline(
        vae=halves[0],
        text_encoder=halves[1],
        unet=halves[2],
        tokenizer=CLIPTokenizer.from_pretrained(tokenizer_folder),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):  # hosts that read CLIP's own files want them too
        (folder / "tokenizer" / name).write_bytes((tokenizer_folder / name).read_bytes())
