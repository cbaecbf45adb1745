"""The core's sampler nodes."""

from __future__ import annotations

from typing import Any, ClassVar

from ..sampling.conditioning import Conditioning
from ..sampling.model import Model
from ..sampling.sample import Latent, ksample
from ..sampling.samplers import SAMPLERS
from ..sampling.schedules import SCHEDULES, full_steps

# Names and limits are the core's; the menus hold what the embedded host samples.
SEED = {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}
STEPS = {"default": 20, "min": 1, "max": 10000}
CFG = {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}


class KSampler:
    """Noise to picture, in latents."""

    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS: ClassVar = ("The sampled latent.",)
    FUNCTION = "sample"
    CATEGORY = "sampling"
    DESCRIPTION = "Samples a latent with a model, between a positive and a negative conditioning."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        share = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model that denoises."}),
                "seed": ("INT", {**SEED, "tooltip": "Chooses the noise to begin with."}),
                "steps": ("INT", {**STEPS, "tooltip": "How many steps of denoising."}),
                "cfg": ("FLOAT", {**CFG, "tooltip": "How far to move away from the negative."}),
                "sampler_name": (list(SAMPLERS), {"tooltip": "How a step is taken."}),
                "scheduler": (list(SCHEDULES), {"tooltip": "Which noise levels steps visit."}),
                "positive": ("CONDITIONING", {"tooltip": "What the picture should show."}),
                "negative": ("CONDITIONING", {"tooltip": "What it should not show."}),
                "latent_image": ("LATENT", {"tooltip": "The latent to begin from."}),
                "denoise": (
                    "FLOAT",
                    {**share, "tooltip": "How much is made anew; below 1 keeps the structure."},
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, steps: int, denoise: float) -> bool:
        """Whether there is such a schedule; raises UserError as `schedules.full_steps`."""
        full_steps(steps, denoise)
        return True

    def sample(
        self,
        model: Model,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        denoise: float = 1.0,
    ) -> tuple[Latent]:
        """See `ksample`."""
        latent = ksample(
            model,
            seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            positive,
            negative,
            latent_image,
            denoise=denoise,
        )
        return (latent,)


class KSamplerAdvanced:
    """Some of the steps of a run, with or without noise at either end."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "sample"
    CATEGORY = "sampling"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {
            "required": {
                "model": ("MODEL",),
                "add_noise": (["enable", "disable"],),
                "noise_seed": ("INT", SEED),
                "steps": ("INT", STEPS),
                "cfg": ("FLOAT", CFG),
                "sampler_name": (list(SAMPLERS),),
                "scheduler": (list(SCHEDULES),),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "latent_image": ("LATENT",),
                "start_at_step": ("INT", {"default": 0, "min": 0, "max": 10000}),
                "end_at_step": ("INT", {"default": 10000, "min": 0, "max": 10000}),
                "return_with_leftover_noise": (["disable", "enable"],),
            }
        }

    def sample(
        self,
        model: Model,
        add_noise: str,
        noise_seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
    ) -> tuple[Latent]:
        """See `ksample`."""
        latent = ksample(
            model,
            noise_seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            positive,
            negative,
            latent_image,
            disable_noise=add_noise == "disable",
            start_step=start_at_step,
            last_step=end_at_step,
            force_full_denoise=return_with_leftover_noise == "disable",
        )
        return (latent,)


CORE_NODES = {"KSampler": KSampler, "KSamplerAdvanced": KSamplerAdvanced}
