"""The demo model's VAE: an analytic, frozen encoder written into `AutoencoderTiny`'s convolutions,
and a trained decoder.

A latent is what can be read off an 8 x 8 block by hand: its brightness, two colour differences, and
the brightness of its upper left quarter less that of its lower right one. Scaled, each has about
unit deviation over the training scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..training.loop import Loop, Task
from ..training.processes import accelerator_for
from ..training.settings import TrainingSettings
from .build_base import BETAS, Hear, finish
from .build_data import SceneSet

_BRIGHT = (1 / 3, 1 / 3, 1 / 3)
# Rows: latent channels. Columns: block means of R, G, B, then brightness of the upper left and
# lower right quarter.
_MIX = ((1 / 3, 1 / 3, 1 / 3, 0, 0), (1, 0, -1, 0, 0), (-0.5, 1, -0.5, 0, 0), (0, 0, 0, 1, -1))
LATENT_MEAN = (0.798, 0.023, -0.008, 0.0)
LATENT_DEVIATION = (0.156, 0.190, 0.101, 0.100)
"""Mean and deviation of the four readings over the training scenes (RGB 0..1), measured once."""
SCALING = 2.0
"""The VAE's own latents have half a unit of deviation, as its decoder squashes what lies beyond 3;
diffusion sees `SCALING` times them, by the scaling factor of the VAE's configuration.
"""


def new_vae() -> Any:
    """`AutoencoderTiny` with the analytic encoder in place and an untrained decoder."""
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(32, 32, 32, 32),
        num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(3, 3, 1, 1), scaling_factor=SCALING,
    )  # fmt: skip
    _write_encoder(vae.encoder)
    return vae


@torch.no_grad()
def _write_encoder(encoder: torch.nn.Module) -> None:
    """Zero the residual blocks (they then pass on non-negative values) and set the convolutions
    between them.
    """
    for parameter in encoder.parameters():
        parameter.zero_()
        parameter.requires_grad_(False)
    # diffusers leaves the type of `layers` open; it is a Sequential.
    layers = list(encoder.layers)  # type: ignore[arg-type]
    copy, half, quarter, quadrants, mix = (m for m in layers if isinstance(m, torch.nn.Conv2d))
    for channel in range(3):
        copy.weight[channel, channel, 1, 1] = 1
        for stage in (half, quarter, quadrants):
            stage.weight[channel, channel, 1:, 1:] = 0.25
        quadrants.weight[3, channel, 1, 1] = _BRIGHT[channel]
        quadrants.weight[4, channel, 2, 2] = _BRIGHT[channel]
    deviation = torch.tensor(LATENT_DEVIATION) * SCALING
    mix.weight[:, :5, 1, 1] = torch.tensor(_MIX) / deviation[:, None]
    mix.bias = torch.nn.Parameter(-torch.tensor(LATENT_MEAN) / deviation, requires_grad=False)


@torch.no_grad()
def encode_all(vae: Any, scenes: SceneSet, chunk: int = 500) -> Tensor:
    """Latents (n, 4, 16, 16), float32, as the diffusion sees them, of every scene."""
    found: list[Tensor] = []
    for start in range(0, len(scenes.rgb), chunk):
        rgb = torch.from_numpy(scenes.rgb[start : start + chunk].copy()).permute(0, 3, 1, 2).float()
        found.append(vae.encode(rgb / 127.5 - 1).latents)
    return torch.cat(found) * float(vae.config.scaling_factor)


@dataclass(frozen=True)
class DecoderRecipe:
    """What makes the decoder: crops of `crop` latent cells around drawn things, then whole pictures
    for the last `whole`.

    `jitter` is noise on the latents (their deviation is 1), as generated latents are never exact.
    """

    training: TrainingSettings
    whole_batch: int = 4
    crop: int = 8
    whole: float = 0.3
    jitter: float = 0.06


def train_decoder(
    recipe: DecoderRecipe, vae: Any, latents: Tensor, scenes: SceneSet, hear: Hear
) -> None:
    """Train `vae`'s decoder in place on the absolute error of pixels and of their differences."""
    settings = recipe.training
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    # Nearly flat cells show the pale ground: only their brightness lies near the mean of all.
    drawn = (latents[:, 1:].abs().amax(1) > 0.8).numpy()

    def loss_of(step: int, part: int) -> Tensor:
        cells, count = recipe.crop, settings.batch
        if step >= (1 - recipe.whole) * settings.steps:
            cells, count = latents.shape[-1], recipe.whole_batch
        picked = np.sort(rng.integers(len(latents), size=count))
        inputs, targets = [], []
        for index in picked:
            y, x = _corner(rng, drawn[index], cells)
            inputs.append(latents[index, :, y : y + cells, x : x + cells])
            rows, columns = slice(8 * y, 8 * (y + cells)), slice(8 * x, 8 * (x + cells))
            targets.append(torch.from_numpy(np.array(scenes.rgb[index, rows, columns])))
        clean = torch.stack(inputs)
        noisy = clean + recipe.jitter * torch.randn_like(clean)
        wanted = torch.stack(targets).permute(0, 3, 1, 2).float() / 127.5 - 1
        decoded = vae.decoder(noisy / vae.config.scaling_factor)
        return _pixel_loss(decoded.float(), wanted)

    groups = [{"params": list(vae.decoder.parameters()), "lr": settings.rate, "betas": BETAS}]
    accelerator = accelerator_for(torch.device("cpu"), settings.precision)
    finish(Loop(Task(vae.decoder, groups, loss_of), settings, accelerator), hear)


def _corner(rng: np.random.Generator, drawn: NDArray[np.bool_], cells: int) -> tuple[int, int]:
    """Upper left cell of a crop around a random drawn cell."""
    room = drawn.shape[0] - cells
    where = np.argwhere(drawn)
    if room == 0 or not len(where):
        return 0, 0
    y, x = where[rng.integers(len(where))] - rng.integers(cells, size=2)
    return int(np.clip(y, 0, room)), int(np.clip(x, 0, room))


def _pixel_loss(made: Tensor, wanted: Tensor) -> Tensor:
    across = (made.diff(dim=-1) - wanted.diff(dim=-1)).abs().mean()
    down = (made.diff(dim=-2) - wanted.diff(dim=-2)).abs().mean()
    return (made - wanted).abs().mean() + across + down
