"""Existing ControlNets: loaded to be trained further, or moved to another base as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..training.checkpoint import NETWORK
from ..training.sdxl import as_diffusers
from ..training.transfer import transferred
from .models import inspect, loading
from .training_base import load_unet


def load_existing(path: Path) -> Any:
    """The ControlNet in `path`, a diffusers folder, a run's checkpoint or a file in any layout, on
    the CPU, in diffusers' own form.

    Raises UserError for anything else, T2I adapters, union nets and Control-LoRAs among them.
    """
    return as_diffusers(loading.load_control_network(checked_existing(path)))


def checked_existing(path: Path) -> Path:
    """Where the ControlNet in `path` is, which is not loaded; raises as `load_existing` does."""
    if (path / NETWORK).is_dir():
        path = path / NETWORK
    inspect.check(path, "controlnet")
    inspect.require_copied_encoder(path)
    return path


def transfer(path: Path, old: Path, new: Path) -> Any:
    """The ControlNet in `path`, trained on the base `old`, for the base `new`; in fp32.

    Bases are what `load_base` takes; their U-Nets alone are loaded. Raises UserError for files that
    are something else, and where the three do not fit each other.
    """
    return transferred(load_existing(path), load_unet(old), load_unet(new))
