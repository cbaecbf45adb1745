"""The U-Net behind ComfyUI's `apply_model`: latent and sigma in, denoised latent out.

The one place that knows how diffusers' `UNet2DConditionModel` takes its control residuals. It takes
the module as it is; nothing is imported from diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...model_patch.residuals import check_fit
from . import wrappers
from .model_sampling import DiscreteSampling

if TYPE_CHECKING:
    from .model import Model

Control = Mapping[str, Sequence[Tensor | None]]


class BaseModel:
    """A diffusers U-Net, its noise schedule, and the scaling of the latents it was trained on."""

    def __init__(
        self, unet: nn.Module, model_sampling: DiscreteSampling, latent_scale: float
    ) -> None:
        """`latent_scale`: the VAE's `scaling_factor` (0.18215 for SD 1.x)."""
        self.diffusion_model = unet
        self.model_sampling = model_sampling
        self.latent_scale = latent_scale
        self.current_patcher: Model | None = None

    @property
    def unet_config(self) -> Mapping[str, Any]:
        """The U-Net's diffusers configuration."""
        config: Any = self.diffusion_model.config
        return dict(config)

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
        channels, `control` residuals {"middle": [m], "output": [one a skip, encoder order]}.
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
    ) -> Tensor:
        dtype = self.get_dtype()
        scaled = self.model_sampling.calculate_input(t, x)
        if c_concat is not None:
            scaled = torch.cat([scaled, c_concat.to(scaled)], dim=1)
        output = self.diffusion_model(
            scaled.to(dtype),
            self.model_sampling.timestep(t).float(),
            encoder_hidden_states=None if c_crossattn is None else c_crossattn.to(x.device, dtype),
            return_dict=False,
            **self._residuals(control, scaled),
        )[0]
        return self.model_sampling.calculate_denoised(t, output.float(), x)

    def _residuals(self, control: Control | None, x: Tensor) -> dict[str, Any]:
        """Return diffusers' keyword arguments for a control dict, or none where it holds nothing.

        Lists are read from their end, as ComfyUI's U-Net does: the last residual meets the last
        skip. They are not emptied.
        """
        if not control:
            return {}
        if any(r is not None for r in control.get("input", ())):
            raise UserError(
                'The control gives residuals for the U-Net\'s "input" blocks (a T2I adapter does); '
                "the embedded host takes those of ControlNets only, for skips and the middle."
            )
        shapes = skip_shapes(self.unet_config, x)
        skips = _fitted("output", control.get("output", ()), shapes)
        middle = _fitted("middle", control.get("middle", ()), shapes[-1:])
        if all(r is None for r in (*skips, *middle)):
            return {}
        # A place without a residual adds 0; diffusers reads None as "no ControlNet at all".
        return {
            "down_block_additional_residuals": tuple(
                0.0 if r is None else r.to(x.device, self.get_dtype()) for r in skips
            ),
            "mid_block_additional_residual": (
                0.0 if middle[0] is None else middle[0].to(x.device, self.get_dtype())
            ),
        }


def skip_shapes(config: Mapping[str, Any], x: Tensor) -> list[tuple[int, int, int, int]]:
    """Return the shapes of a U-Net's skips in encoder order, for an input `x` (B, C, h, w).

    The input convolution, then each level's layers, then the halving (rounded up) to the next:
    twelve in SD 1.x. The last is the middle's too.
    """
    batch, _, height, width = x.shape
    channels = config["block_out_channels"]
    layers = config["layers_per_block"]
    shapes = [(batch, channels[0], height, width)]
    for level, depth in enumerate(channels):
        count = layers if isinstance(layers, int) else layers[level]
        shapes += [(batch, depth, height, width)] * count
        if level < len(channels) - 1:
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((batch, depth, height, width))
    return shapes


def _fitted(
    place: str, residuals: Sequence[Tensor | None], shapes: Sequence[tuple[int, ...]]
) -> list[Tensor | None]:
    """Return `residuals` lined up with the ends of `shapes`, or raise where one does not fit."""
    if len(residuals) > len(shapes):
        raise UserError(
            f'The control gives {len(residuals)} residuals for "{place}" and the U-Net has '
            f"{len(shapes)} places for them: use a ControlNet made for this base model."
        )
    first = len(shapes) - len(residuals)
    for index, (residual, shape) in enumerate(zip(residuals, shapes[first:], strict=True), first):
        if residual is not None:
            check_fit(f"{place} {index}", residual, torch.empty(shape, device="meta"))
    return [None] * first + list(residuals)
