"""The core's sampler nodes."""

from __future__ import annotations

from typing import Any

from ..sampling.sample import Latent, ksample
from ..sampling.samplers import SAMPLERS
from ..sampling.schedules import SCHEDULES, full_steps
from .declare import core_node, integer, number

# Names and limits are the core's; the menus hold what the embedded host samples.
SEED = {"least": 0, "most": 2**64 - 1, "control_after_generate": True}
STEPS = {"least": 1, "most": 10000}
CFG = {"least": 0.0, "most": 100.0, "step": 0.1, "round": 0.01}

core_node(
    "KSampler",
    "sampling",
    {
        "model": ("MODEL", {"tooltip": "The model that denoises."}),
        "seed": integer(0, **SEED, tooltip="Chooses the noise to begin with."),
        "steps": integer(20, **STEPS, tooltip="How many steps of denoising."),
        "cfg": number(8.0, **CFG, tooltip="How far to move away from the negative."),
        "sampler_name": (list(SAMPLERS), {"tooltip": "How a step is taken."}),
        "scheduler": (list(SCHEDULES), {"tooltip": "Which noise levels steps visit."}),
        "positive": ("CONDITIONING", {"tooltip": "What the picture should show."}),
        "negative": ("CONDITIONING", {"tooltip": "What it should not show."}),
        "latent_image": ("LATENT", {"tooltip": "The latent to begin from."}),
        "denoise": number(
            *(1.0, 0.0, 1.0, 0.01), tooltip="How much is made anew; below 1 keeps the structure."
        ),
    },
    "LATENT",
    check=full_steps,
    OUTPUT_TOOLTIPS=("The sampled latent.",),
    DESCRIPTION="Samples a latent with a model, between a positive and a negative conditioning.",
)(ksample)


@core_node(
    "KSamplerAdvanced",
    "sampling",
    {
        "model": "MODEL",
        "add_noise": ["enable", "disable"],
        "noise_seed": integer(0, **SEED),
        "steps": integer(20, **STEPS),
        "cfg": number(8.0, **CFG),
        "sampler_name": list(SAMPLERS),
        "scheduler": list(SCHEDULES),
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "latent_image": "LATENT",
        "start_at_step": integer(0, 0, 10000),
        "end_at_step": integer(10000, 0, 10000),
        "return_with_leftover_noise": ["disable", "enable"],
    },
    "LATENT",
)
def sample_steps(
    *,
    add_noise: str,
    noise_seed: int,
    start_at_step: int,
    end_at_step: int,
    return_with_leftover_noise: str,
    **plain: Any,
) -> Latent:
    """Some of the steps of a run, with or without noise at either end; `plain`: see `ksample`."""
    return ksample(
        seed=noise_seed,
        disable_noise=add_noise == "disable",
        start_step=start_at_step,
        last_step=end_at_step,
        force_full_denoise=return_with_leftover_noise == "disable",
        **plain,
    )
