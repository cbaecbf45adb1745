"""Trains the joint reader on rendered people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as f

from ..evaluation.joint_reader import CELL, JointReader
from ..training.loop import Loop, Task
from ..training.processes import accelerator_for
from ..training.settings import TrainingSettings
from .build_base import BETAS, Hear, finish
from .build_data import SceneSet
from .scenes import SIZE


@dataclass(frozen=True)
class ReaderRecipe:
    """What makes the joint reader. `spread` is the deviation, in cells, of the blobs that it is
    taught to draw.
    """

    training: TrainingSettings
    spread: float = 0.8


def train_reader(recipe: ReaderRecipe, scenes: SceneSet, hear: Hear) -> JointReader:
    """A reader trained on the scenes with a person, their pictures softened and made noisy at
    random.
    """
    settings = recipe.training
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    reader = JointReader()
    peopled = np.flatnonzero(~np.isnan(scenes.joints[:, 0, 0]))

    def loss_of(step: int, part: int) -> Tensor:
        picked = np.sort(rng.choice(peopled, settings.batch))
        rgb = torch.from_numpy(scenes.rgb[picked]).permute(0, 3, 1, 2).float() / 255
        wanted = blobs(scenes.joints[picked], recipe.spread)
        heat = reader(_worn(rgb))
        # Cross entropy over the cells of each map: a joint is in one place.
        agreement: Tensor = (wanted * heat.float().flatten(2).log_softmax(-1)).sum(-1)
        return -agreement.mean()

    groups = [{"params": list(reader.parameters()), "lr": settings.rate, "betas": BETAS}]
    accelerator = accelerator_for(torch.device("cpu"), settings.precision)
    finish(Loop(Task(reader, groups, loss_of), settings, accelerator), hear)
    return reader.eval()


def blobs(joints: NDArray[np.float32], spread: float) -> Tensor:
    """Gaussians around joints (n, 18, 2) in pixels, over the cells: (n, 18, cells), of sum 1."""
    places = (torch.arange(SIZE // CELL) + 0.5) * CELL
    at = torch.from_numpy(joints)[..., None]
    away = -((at - places) ** 2) / (2 * (spread * CELL) ** 2)
    both = away[:, :, 1, :, None] + away[:, :, 0, None, :]
    return both.flatten(2).softmax(-1)


def _worn(rgb: Tensor) -> Tensor:
    """Softer by a random amount and with a little noise, as generated pictures are."""
    soft = f.avg_pool2d(f.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.rand(len(rgb), 1, 1, 1)
    return rgb + (soft - rgb) * share + 0.03 * torch.randn_like(rgb)
