"""The U-Net behind ComfyUI's `apply_model`: latent and sigma in, denoised latent out.

The module is taken as it is; nothing is imported from diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from . import wrappers
from .model_sampling import DiscreteSampling
from .size_conditioning import y_width
from .unet_control import Control, fitted, patched_inside, patched_outputs, skip_shapes


class BaseModel:
    """A diffusers U-Net, its noise schedule, and the scaling of the latents it was trained on."""

    def __init__(
        self, unet: nn.Module, model_sampling: DiscreteSampling, latent_scale: float
    ) -> None:
        """`latent_scale`: what a LATENT is multiplied by; `models/vae.py` has the families'."""
        self.diffusion_model = unet
        self.model_sampling = model_sampling
        self.latent_scale = latent_scale
        self.current_patcher: object | None = None  # the MODEL that samples, for its patches

    @property
    def unet_config(self) -> Mapping[str, Any]:
        """The U-Net's diffusers configuration."""
        config: Any = self.diffusion_model.config
        return dict(config)

    @property
    def y_width(self) -> int:
        """How wide the vector `y` is that the U-Net takes beside text and time; 0 for none."""
        return y_width(self.diffusion_model)

    @property
    def device(self) -> torch.device:
        """Where the U-Net lies."""
        return next(self.diffusion_model.parameters()).device

    def get_dtype(self) -> torch.dtype:
        """Return the dtype that the U-Net computes in."""
        return next(self.diffusion_model.parameters()).dtype

    def process_latent_in(self, latent: Tensor) -> Tensor:
        """Scale a LATENT (as the VAE gives it) to the U-Net's."""
        return latent * self.latent_scale

    def process_latent_out(self, latent: Tensor) -> Tensor:
        """Undo `process_latent_in`."""
        return latent / self.latent_scale

    def apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Control | None = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Denoise latents `x` (B, 4, h, w) at sigmas `t` (B,) through the "apply_model" wrappers.

        `c_crossattn` (B, tokens, width) is the text, `c_concat` (B, C, h, w) further input
        channels, `control` residuals {"input": [one a block of the encoder, the first one last],
        "middle": [m], "output": [one a skip, encoder order]}; None is no residual. Of the rest, `y`
        (B, width) is SDXL's vector (`size_conditioning`).
        Raises `UserError` for residuals that do not fit.
        """
        options = transformer_options or {}
        call = wrappers.wrapped(
            self._apply_model, self, options.get("wrappers"), wrappers.APPLY_MODEL
        )
        result: Tensor = call(x, t, c_concat, c_crossattn, control, options, **kwargs)
        return result

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None,
        c_crossattn: Tensor | None,
        control: Control | None,
        transformer_options: dict[str, Any],
        y: Tensor | None = None,
    ) -> Tensor:
        dtype = self.get_dtype()
        scaled = self.model_sampling.calculate_input(t, x)
        if c_concat is not None:
            scaled = torch.cat([scaled, c_concat.to(scaled)], dim=1)
        shapes = skip_shapes(self.unet_config, scaled)
        residuals = fitted(control or {}, shapes)
        unet = self.diffusion_model
        with (
            residuals.added_inside(unet),
            patched_inside(unet, transformer_options),
            patched_outputs(unet, transformer_options, shapes),
        ):
            output = self.diffusion_model(
                scaled.to(dtype),
                self.model_sampling.timestep(t).float(),
                encoder_hidden_states=(
                    None if c_crossattn is None else c_crossattn.to(x.device, dtype)
                ),
                return_dict=False,
                **residuals.arguments(x.device, dtype),
                **({} if y is None else {"class_labels": y.to(x.device, dtype)}),
            )[0]
        return self.model_sampling.calculate_denoised(t, output.float(), x)
