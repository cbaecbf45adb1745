"""The base of the demo model: its text encoder and U-Net, trained together to predict noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ..training.chance import number
from ..training.events import Event
from ..training.loop import Loop, Task
from ..training.objective import Objective, scaled_linear_alphas, weighted_loss
from ..training.processes import accelerator_for
from ..training.row_order import RowOrder, Shares
from ..training.settings import TrainingSettings
from .build_text import HIDDEN, MAX_TOKENS, text_encoder

CHANNELS = (32, 64, 96, 96)
BETAS = (0.9, 0.99)
"""AdamW's, with a shorter memory than usual: so are the runs."""

Hear: TypeAlias = Callable[[Event], None]
"""Is told how a stage goes on."""


@dataclass(frozen=True)
class BaseRecipe:
    """What makes the base; the batch is that of all processes together. For the first `short` of
    the run prompts are padded to the longest caption's length only, which is a quarter faster; the
    rest teaches the usual 77 tokens.
    """

    training: TrainingSettings
    short: float = 0.75


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
    recipe: BaseRecipe, latents: Tensor, captions: list[str], tokenizer: Any, hear: Hear
) -> tuple[Any, Any]:
    """Train and return (text encoder, U-Net). `latents` (n, 4, 16, 16). Each process calls this."""
    settings = recipe.training
    accelerator = accelerator_for(torch.device("cpu"), settings.precision)
    count = accelerator.num_processes
    settings = replace(settings, batch=max(1, settings.batch // count))
    shares = Shares(settings.batch, 1, count, accelerator.process_index)
    order = RowOrder(len(latents), settings.seed, settings.prompt_dropout, shares)
    objective = Objective(scaled_linear_alphas(), "epsilon", settings, shares)
    torch.manual_seed(number(settings.seed, "weights"))
    text, unet = text_encoder(len(tokenizer)), new_unet()
    plain_attention(unet)
    tokens, empty = tokens_of(tokenizer, captions), tokens_of(tokenizer, [""])
    length = prompt_length(tokens, recipe.short, settings.steps)

    def loss_of(step: int, part: int) -> Tensor:
        picks = [order.pick(step, position) for position in shares.positions(part)]
        rows = [pick.row for pick in picks]
        dropped = torch.tensor([pick.drop for pick in picks])[:, None]
        seen = objective.noised(latents[rows], step, part)
        prompts = torch.where(dropped, empty, tokens[rows])[:, : length(step)]
        words = text(prompts).last_hidden_state
        predicted = unet(seen.noisy, seen.timesteps, words, return_dict=False)[0]
        return weighted_loss(predicted, seen.wanted, seen.weights)

    both = nn.ModuleList([text, unet])
    groups = [{"params": list(both.parameters()), "lr": settings.rate, "betas": BETAS}]
    finish(Loop(Task(both, groups, loss_of), settings, accelerator), hear)
    return text, unet


def finish(loop: Loop, hear: Hear) -> None:
    """Train to the last step. Half a stage is none: KeyboardInterrupt where somebody stopped it."""
    for event in loop.run():
        if loop.accelerator.is_main_process:
            hear(event)
    if loop.stopped:
        raise KeyboardInterrupt


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
