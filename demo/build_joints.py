"""Trains the joint reader on rendered people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as f

from ..evaluation.joint_reader import CELL, JointReader
from ..training.loop import LoopSettings, Progress, train
from .build_data import SceneSet
from .scenes import SIZE

SEED = 31


@dataclass(frozen=True)
class ReaderRecipe:
    """What made the joint reader. `spread` is the deviation, in cells, of the blobs that it is
    taught to draw.
    """

    steps: int
    batch: int = 24
    rate: float = 2e-3
    spread: float = 0.8
    seconds: float = float("inf")


def train_reader(
    recipe: ReaderRecipe, scenes: SceneSet, report: Callable[[Progress], None]
) -> JointReader:
    """A reader trained on the scenes with a person, their pictures softened and made noisy at
    random.
    """
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    reader = JointReader()
    peopled = np.flatnonzero(~np.isnan(scenes.joints[:, 0, 0]))

    def loss_of(step: int) -> Tensor:
        picked = np.sort(rng.choice(peopled, recipe.batch))
        rgb = torch.from_numpy(scenes.rgb[picked]).permute(0, 3, 1, 2).float() / 255
        wanted = blobs(scenes.joints[picked], recipe.spread)
        with torch.autocast("cpu", torch.bfloat16):
            heat = reader(_worn(rgb))
        # Cross entropy over the cells of each map: a joint is in one place.
        agreement: Tensor = (wanted * heat.float().flatten(2).log_softmax(-1)).sum(-1)
        return -agreement.mean()

    settings = LoopSettings(recipe.steps, recipe.batch, ema_decay=0.99, seconds=recipe.seconds)
    groups = [{"params": list(reader.parameters()), "lr": recipe.rate}]
    train(reader, groups, loss_of, settings, report, lambda step: None)
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
