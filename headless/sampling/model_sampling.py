"""The noise schedule a U-Net was trained on, and what its output means.

Latents are carried in Karras' variance-exploding form x = x0 + sigma * noise; the U-Net was trained
on the variance-preserving form, which is the same latent divided by sqrt(sigma^2 + 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ...ground.errors import UserError

PredictionType = Literal["epsilon", "v_prediction"]

# Sigmas that enclose every other one: "from the very start" and "to the very end".
BEFORE_START = 999999999.9
AFTER_END = 0.0


class DiscreteSampling:
    """A table of sigmas, one for each training timestep, ascending; `prediction_type` says what the
    U-Net predicts: the noise ("epsilon") or the velocity of Salimans & Ho 2022 ("v_prediction").
    """

    def __init__(self, sigmas: Tensor, prediction_type: PredictionType = "epsilon") -> None:
        """`sigmas`: (T,), ascending, all above 0. Float64 keeps the interpolation exact."""
        if prediction_type not in ("epsilon", "v_prediction"):
            raise UserError(
                f"The model predicts {prediction_type!r}; the embedded host samples models that "
                "predict 'epsilon' or 'v_prediction'."
            )
        self.prediction_type = prediction_type
        self.sigmas = sigmas.float()
        self.log_sigmas = sigmas.log().float()

    @classmethod
    def from_alphas_cumprod(
        cls, alphas_cumprod: Tensor, prediction_type: PredictionType = "epsilon"
    ) -> DiscreteSampling:
        """Build from the cumulative product of alphas (T,): sigma^2 = (1 - a) / a."""
        return cls(((1 - alphas_cumprod) / alphas_cumprod) ** 0.5, prediction_type)

    @classmethod
    def from_betas(
        cls,
        start: float = 0.00085,
        end: float = 0.012,
        steps: int = 1000,
        *,
        schedule: str = "scaled_linear",
        prediction_type: PredictionType = "epsilon",
        zero_terminal_snr: bool = False,
    ) -> DiscreteSampling:
        """Build from the betas of training, in float64 as ComfyUI does; defaults are SD 1.x's
        (https://github.com/CompVis/stable-diffusion, v1-inference.yaml).

        `schedule` uses diffusers' names: "linear" in beta, or "scaled_linear" in its square root.
        """
        if schedule == "scaled_linear":
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
        elif schedule == "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float64)
        else:
            raise UserError(
                f"The model was trained with the beta schedule {schedule!r}; the embedded host "
                "knows 'scaled_linear' and 'linear'."
            )
        alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)
        if zero_terminal_snr:
            alphas_cumprod = _rescale_to_zero_terminal_snr(alphas_cumprod)
        return cls.from_alphas_cumprod(alphas_cumprod, prediction_type)

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> DiscreteSampling:
        """Build from the contents of a diffusers `scheduler_config.json`."""
        prediction_type = config.get("prediction_type", "epsilon")
        if config.get("trained_betas") is not None:
            betas = torch.tensor(config["trained_betas"], dtype=torch.float64)
            return cls.from_alphas_cumprod(torch.cumprod(1.0 - betas, dim=0), prediction_type)
        return cls.from_betas(
            config.get("beta_start", 0.0001),
            config.get("beta_end", 0.02),
            config.get("num_train_timesteps", 1000),
            schedule=config.get("beta_schedule", "linear"),
            prediction_type=prediction_type,
            zero_terminal_snr=config.get("rescale_betas_zero_snr", False),
        )

    @property
    def sigma_min(self) -> Tensor:
        """The smallest sigma of training, a scalar tensor."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest sigma of training, a scalar tensor."""
        return self.sigmas[-1]

    @property
    def ends(self) -> tuple[float, float]:
        """The timesteps of the largest and of the smallest sigma."""
        return len(self.sigmas) - 1, 0

    def timestep(self, sigma: Tensor) -> Tensor:
        """Return the training timestep (integer, `sigma`'s shape) nearest to `sigma` in log."""
        distance = sigma.log().to(self.log_sigmas.device) - self.log_sigmas[:, None]
        return distance.abs().argmin(dim=0).view(sigma.shape).to(sigma.device)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Return the sigma at a timestep, fractional ones interpolated in log sigma."""
        t = timestep.float().to(self.log_sigmas.device).clamp(0, len(self.sigmas) - 1)
        weight = t.frac()
        low, high = self.log_sigmas[t.floor().long()], self.log_sigmas[t.ceil().long()]
        return ((1 - weight) * low + weight * high).exp().to(timestep.device)

    def percent_to_sigma(self, percent: float) -> float:
        """Return the sigma at a share of sampling: linear in the training timestep, not in steps.

        0 and below means "before any step", 1 and above "after the last", as ComfyUI's users know
        it. The 999 is the last of SD's thousand timesteps, for every schedule, as in ComfyUI.
        """
        if percent <= 0.0:
            return BEFORE_START
        if percent >= 1.0:
            return AFTER_END
        return float(self.sigma(torch.tensor((1.0 - percent) * 999.0)))

    def calculate_input(self, sigma: Tensor, x: Tensor) -> Tensor:
        """Scale a latent (B, C, h, w) at `sigma` (B,) to what the U-Net was trained on."""
        return x / (_column(sigma, x) ** 2 + 1.0) ** 0.5

    def calculate_denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """Turn the U-Net's `output` at latent `x` and `sigma` (B,) into the denoised latent."""
        sigma = _column(sigma, x)
        if self.prediction_type == "epsilon":
            return x - output * sigma
        return x / (sigma**2 + 1.0) - output * sigma / (sigma**2 + 1.0) ** 0.5

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False
    ) -> Tensor:
        """Return `latent` with `noise` at `sigma`. With `max_denoise` the noise has the variance of
        a latent that sampling starts from, sigma^2 + 1, since no picture is left below it.
        """
        sigma = _column(sigma, noise)
        return noise * (torch.sqrt(1.0 + sigma**2) if max_denoise else sigma) + latent


def _column(sigma: Tensor, like: Tensor) -> Tensor:
    """View sigma (B,) as (B, 1, 1, 1) beside `like`; a single one as a scalar."""
    return sigma.view(()) if sigma.numel() == 1 else sigma.view(-1, *(1,) * (like.ndim - 1))


def _rescale_to_zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Shift and scale sqrt(alpha) so that the last timestep holds no signal.

    Algorithm 1 of Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed"
    (https://arxiv.org/abs/2305.08891). The last value is ComfyUI's smallest, so
    that sigma stays finite.
    """
    root = alphas_cumprod.sqrt()
    rescaled = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    squared = rescaled**2
    squared[-1] = 4.8973451890853435e-08
    return squared
