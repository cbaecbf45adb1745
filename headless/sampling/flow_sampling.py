"""The noise schedule of flow models: SD 3, Flux."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class FlowSampling:
    """x = (1 - sigma) * picture + sigma * noise, sigma from 1 down (Esser et al. 2024, arXiv
    2403.03206, 5.3.2): timesteps are shifted to where there is more noise, by `shift` as in SD 3
    or, with `exponential`, by its exponential as in Flux.

    Tables are ComfyUI's, of 1000 timesteps and of 10000.
    """

    def __init__(self, shift: float, *, exponential: bool = False) -> None:
        self._factor = math.exp(shift) if exponential else shift
        self._last = 1 if exponential else 1000
        count = 10000 if exponential else 1000
        self.sigmas = self.sigma(torch.arange(1, count + 1) / count * self._last)

    @property
    def sigma_min(self) -> Tensor:
        """The smallest sigma of training."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest."""
        return self.sigmas[-1]

    @property
    def ends(self) -> tuple[float, float]:
        """The timesteps at which "normal" schedules begin and end: ComfyUI's, which takes a sigma
        for its timestep."""
        return float(self.sigma_max) * self._last, float(self.sigma_min) * self._last

    def sigma(self, timestep: Tensor) -> Tensor:
        """The sigma at a timestep, 0 to 1000 (Flux: to 1)."""
        share = timestep / self._last
        return self._factor * share / (1 + (self._factor - 1) * share)

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at a share of the timesteps, counted from noise."""
        if percent <= 0.0:
            return 1.0
        if percent >= 1.0:
            return 0.0
        return float(self.sigma(torch.tensor((1.0 - percent) * self._last, dtype=torch.float64)))
