"""VAE over diffusers' AutoencoderKL and AutoencoderTiny: pictures to LATENT and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from .tiles import in_tiles

LATENT_SCALE = 0.18215
"""What a MODEL multiplies a LATENT by: SD 1.x's (CompVis/stable-diffusion, v1-inference.yaml).

Every LATENT on a wire is in this unit, as in ComfyUI, so that models and VAEs that were loaded
separately fit; a `Vae` turns its own scaling into it.
"""


MAPS = 3
"""Maps of the outer block's width that an autoencoder holds at once; 3 to 4 were measured."""


class Vae:
    """A frozen autoencoder between IMAGE (B, H, W, 3) in 0..1 and LATENT (B, 4, H/8, W/8)."""

    def __init__(self, autoencoder: Any) -> None:
        """`autoencoder`: a diffusers AutoencoderKL or AutoencoderTiny."""
        config = autoencoder.config
        self.autoencoder = autoencoder
        # An AutoencoderTiny is trained on scaled latents: its factor is 1 where a KL's is 0.18215.
        self.factor: float = config.scaling_factor / LATENT_SCALE
        channels = config.get("encoder_block_out_channels") or config.block_out_channels
        self._encoder_channels: Sequence[int] = channels
        self.downscale_ratio: int = 2 ** (len(channels) - 1)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) in 0..1 to (B, 4, h, w), the mean of the posterior, on the CPU.

        Sides that are no multiple of the downscale ratio lose the rest, half on each side.
        """
        cut = self.crop(pixels)
        return self.moments(cut.movedim(-1, 1) * 2.0 - 1.0)[0].cpu()

    @torch.no_grad()
    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in -1..1 to mean and standard deviation (B, 4, h, w) of the posterior.

        Both are on the autoencoder's device; the deviation is 0 where it gives one latent.
        """
        self._require_memory(pictures.shape, self._encoder_channels[0], 1)
        encoded = self.autoencoder.encode(self._given(pictures))
        if hasattr(encoded, "latents"):
            mean, deviation = encoded.latents, torch.zeros_like(encoded.latents)
        else:
            mean, deviation = encoded.latent_dist.mean, encoded.latent_dist.std
        return (mean * self.factor).float(), (deviation * self.factor).float()

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 4, h, w) to (B, H, W, 3) in 0..1, on the CPU."""
        return self.pictures(latents).movedim(1, -1).cpu()

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> Tensor:
        """(B, 4, h, w) to (B, 3, H, W) in 0..1, on the autoencoder's device."""
        channels = self.autoencoder.config.latent_channels
        if latents.ndim != 4 or latents.shape[1] != channels:
            raise UserError(
                f"The latent is {tuple(latents.shape)} and this VAE decodes (batch, {channels}, "
                "height, width); load the VAE that belongs to the model."
            )
        config = self.autoencoder.config
        decoder = config.get("decoder_block_out_channels") or config.block_out_channels
        self._require_memory(latents.shape, decoder[0], self.downscale_ratio)
        return (self._decoded(latents) / 2.0 + 0.5).clamp(0.0, 1.0)

    def decode_in_tiles(self, latents: Tensor, tile: int, overlap: int) -> Tensor:
        """As `decode`, in pieces of `tile` latent pixels that share `overlap`: the mean of pieces
        of three shapes, as in ComfyUI.
        """
        made = _in_three_shapes(self._decoded, latents, tile, overlap, self.downscale_ratio)
        return (made / 2.0 + 0.5).clamp(0.0, 1.0).movedim(1, -1)

    def encode_in_tiles(self, pixels: Tensor, tile: int, overlap: int) -> Tensor:
        """As `encode`, in pieces of `tile` pixels that share `overlap`, as `decode_in_tiles`."""
        pictures = self.crop(pixels).movedim(-1, 1) * 2.0 - 1.0
        ratio = 1 / self.downscale_ratio
        return _in_three_shapes(lambda one: self.moments(one)[0], pictures, tile, overlap, ratio)

    @torch.no_grad()
    def _decoded(self, latents: Tensor) -> Tensor:
        """(B, 4, h, w) to (B, 3, H, W) in about -1..1."""
        decoded: Tensor = self.autoencoder.decode(self._given(latents / self.factor)).sample
        return decoded.float()

    def crop(self, pixels: Tensor) -> Tensor:
        """Cut (B, H, W, ...) to multiples of the downscale ratio, from the centre."""
        for axis, name in ((1, "high"), (2, "wide")):
            size = pixels.shape[axis]
            rest = size % self.downscale_ratio
            if size < self.downscale_ratio:
                raise UserError(
                    f"The picture is {size} pixels {name} and this VAE needs at least "
                    f"{self.downscale_ratio}; scale it up first."
                )
            pixels = pixels.narrow(axis, rest // 2, size - rest)
        return pixels

    def _require_memory(self, shape: Sequence[int], channels: int, factor: int) -> None:
        """UserError where a CPU has not the memory for MAPS of `channels` at a picture's size."""
        if next(self.autoencoder.parameters()).device.type == "cpu":
            batch, _, height, width = shape
            pixels = batch * height * width * factor**2
            words = f"the VAE's {batch} pictures of {width * factor} x {height * factor} pixels"
            require_memory(pixels * channels * 4 * MAPS, words)

    def _given(self, tensor: Tensor) -> Tensor:
        """On the autoencoder's device, in its type."""
        weight = next(self.autoencoder.parameters())
        return tensor.to(weight.device, weight.dtype)


def _in_three_shapes(
    network: Callable[[Tensor], Tensor], pictures: Tensor, tile: int, overlap: int, scale: float
) -> Tensor:
    """The mean of a network's results over square, high and wide pieces, on the CPU."""
    shapes = ((tile * 2, tile // 2), (tile // 2, tile * 2), (tile, tile))

    def mean(picture: Tensor) -> Tensor:
        made = [in_tiles(network, picture, shape, overlap, scale).cpu() for shape in shapes]
        return torch.stack(made).mean(dim=0)

    return torch.cat([mean(picture[None]) for picture in pictures])
