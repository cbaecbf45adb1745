"""The further input channels of inpainting U-Nets: nine in all, mask and masked picture last."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ground.errors import UserError
from .base_model import BaseModel

LATENT_CHANNELS = 4
INPAINT_CHANNELS = 9

# A grey picture through SD 1.x's VAE, scaled, as ComfyUI has it (`BaseModel.set_inpaint`).
GREY_LATENT = (0.8223, -0.6876, 0.6364, 0.1380)


def extra_channels(model: BaseModel, latent: Tensor, mask: Tensor | None) -> Tensor | None:
    """Return (B, 5, h, w) for an inpainting U-Net, None for a plain one.

    `latent` (B, 4, h, w) is scaled for the U-Net; `mask` is 1 where the picture is made anew, and
    None means everywhere, over grey. Raises `UserError` for a U-Net with other channels.
    """
    channels = model.unet_config["in_channels"]
    if channels == LATENT_CHANNELS:
        return None
    if channels != INPAINT_CHANNELS:
        raise UserError(
            f"The U-Net takes {channels} channels; the embedded host samples U-Nets that take "
            f"{LATENT_CHANNELS}, or {INPAINT_CHANNELS} (inpainting)."
        )
    if mask is None:
        grey = latent.new_tensor(GREY_LATENT).view(1, -1, 1, 1).expand(latent.shape)
        return torch.cat([torch.ones_like(latent[:, :1]), grey], dim=1)
    return torch.cat([mask[:, :1].round(), latent], dim=1)
