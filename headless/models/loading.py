"""The loaders: one function for each kind of model, whatever it lies in, file or folder."""

from __future__ import annotations

from pathlib import Path

from ..sampling.model import Model
from . import components
from .clip import Clip
from .controlnet import ControlNet
from .vae import Vae


def load_checkpoint(path: Path) -> tuple[Model, Clip, Vae]:
    """MODEL, CLIP and VAE of a diffusers pipeline folder.

    Raises UserError where the folder is damaged or of another family.
    """
    return components.load_pipeline(path)


def load_unet(path: Path) -> Model:
    """MODEL of a diffusers `unet` folder; UserError as `load_checkpoint`."""
    return components.load_unet(path)


def load_clip(path: Path) -> Clip:
    """CLIP of a `text_encoder` folder; UserError as `load_checkpoint`."""
    return components.load_clip(path)


def load_vae(path: Path) -> Vae:
    """VAE of a diffusers `vae` folder; UserError as `load_checkpoint`."""
    return components.load_vae(path)


def load_control_net(path: Path) -> ControlNet:
    """CONTROL_NET of a diffusers ControlNet folder; UserError as `load_checkpoint`."""
    return ControlNet(components.load_control_network(path), path.name)
