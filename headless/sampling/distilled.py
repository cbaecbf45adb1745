"""Noise schedules of models whose output is no noise and no velocity: distilled ones."""

from __future__ import annotations

from torch import Tensor

from .model_sampling import DiscreteSampling, PredictionType

LCM_TIMESTEPS = 50
"""Of the teacher's solver: the noise levels that a latent consistency model was trained on."""
LCM_DEVIATION, LCM_SCALING = 0.5, 10.0
"""Of the boundary condition: sigma_data, and the scaling of timesteps."""


class SampleSampling(DiscreteSampling):
    """The U-Net predicts the latent itself."""

    def calculate_denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """`output` as it is."""
        return output


class ConsistencySampling(DiscreteSampling):
    """A latent consistency model: every twentieth timestep, counted from the noisiest, and skip
    connections that make the smallest the identity (Luo et al. 2023,
    https://arxiv.org/abs/2310.04378, section 4; constants as in diffusers' LCMScheduler).
    """

    def __init__(self, sigmas: Tensor, prediction_type: PredictionType = "epsilon") -> None:
        self._stride = len(sigmas) // LCM_TIMESTEPS
        picked = sigmas.flip(0)[:: self._stride][:LCM_TIMESTEPS].flip(0)
        super().__init__(picked.float(), prediction_type)

    @property
    def ends(self) -> tuple[float, float]:
        """See `DiscreteSampling.ends`; in timesteps of training."""
        first = self._stride - 1
        return (len(self.sigmas) - 1) * self._stride + first, first

    def timestep(self, sigma: Tensor) -> Tensor:
        """See `DiscreteSampling.timestep`."""
        return super().timestep(sigma) * self._stride + self._stride - 1

    def sigma(self, timestep: Tensor) -> Tensor:
        """See `DiscreteSampling.sigma`."""
        return super().sigma((timestep.float() - (self._stride - 1)) / self._stride)

    def calculate_denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """The denoised latent, and near the end of sampling the more of `x`."""
        shape = (-1, *(1,) * (output.ndim - 1))
        scaled = self.timestep(sigma).view(shape) * LCM_SCALING
        whole = scaled**2 + LCM_DEVIATION**2
        denoised = x - output * sigma.view(shape)
        return scaled / whole**0.5 * denoised + LCM_DEVIATION**2 / whole * x


KINDS: dict[str, tuple[type[DiscreteSampling], PredictionType]] = {
    "eps": (DiscreteSampling, "epsilon"),
    "v_prediction": (DiscreteSampling, "v_prediction"),
    "lcm": (ConsistencySampling, "epsilon"),
    "x0": (SampleSampling, "epsilon"),
}
"""By what ComfyUI calls it."""


def sampling_of(kind: str, zero_terminal_snr: bool) -> DiscreteSampling:
    """SD 1.x's schedule for a model of one of KINDS."""
    made, prediction = KINDS[kind]
    return made.from_betas(prediction_type=prediction, zero_terminal_snr=zero_terminal_snr)
