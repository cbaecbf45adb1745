"""The locked model that a ControlNet is trained on: what training needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Texts:
    """Prompts as a U-Net reads them: `words` (n, tokens, width), and SDXL's `pooled` (n, P)."""

    words: Tensor
    pooled: Tensor | None = None


class Encoders(Protocol):
    """The locked model's text encoders and VAE, wherever they come from."""

    @property
    def fingerprint(self) -> str:
        """What changes when their outputs would; latents and embeddings are cached under it."""
        ...

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Channels of a latent, tokens of a prompt with the marks at its ends, and their width."""
        ...

    @property
    def pooled_width(self) -> int:
        """The width of the pooled texts that the U-Net is told beside the words; 0 for none."""
        ...

    def tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has, without the marks at its ends; `words` cuts off what
        does not fit.
        """
        ...

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, H, W) in -1..1 -> mean and standard deviation (n, c, H/8, W/8) of their
        latents, in the U-Net's scale; 0 where the encoder gives one latent.
        """
        ...

    def words(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> embeddings (n, tokens, width), all of one length, as the U-Net reads them."""
        ...

    def texts(self, prompts: Sequence[str]) -> Texts:
        """Prompts -> their `words`, and with them what SDXL pools of them."""
        ...

    def pictures(self, latents: Tensor) -> Tensor:
        """Latents (n, c, h, w) in the U-Net's scale -> pictures (n, 3, 8h, 8w) in 0..1."""
        ...


@dataclass(frozen=True)
class Base:
    """A locked U-Net with its schedule and its encoders.

    `unet` is a diffusers UNet2DConditionModel, on the device that trains; `alphas` (timesteps,) are
    the cumulative alphas of its noise schedule; `prediction` is what it predicts. `encoders` are
    None where only cached batches are used.
    """

    unet: Any
    alphas: Tensor
    prediction: str = "epsilon"  # or "v_prediction"
    encoders: Encoders | None = None
    name: str = "the base model"

    @property
    def device(self) -> torch.device:
        """Where the U-Net is."""
        device: torch.device = next(self.unet.parameters()).device
        return device
