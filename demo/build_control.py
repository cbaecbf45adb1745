"""The demo model's three ControlNets: which scenes and which hints each is trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..training.control_net import Batch
from .build_data import SceneSet

KINDS = ("canny", "depth", "pose")

Hints = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Scene numbers (n,) -> hints uint8 (n, 128, 128) grey, or (n, 128, 128, 3)."""


def hints_of(kind: str, scenes: SceneSet) -> tuple[Hints, NDArray[np.int64]]:
    """The hints of a kind, and the numbers of the scenes to train on: for poses, those with a
    person.
    """
    if kind == "canny":
        return lambda picked: scenes.canny[picked], np.arange(len(scenes.canny))
    if kind == "depth":
        return lambda picked: scenes.depth[picked], np.arange(len(scenes.depth))
    peopled = np.flatnonzero(~np.isnan(scenes.joints[:, 0, 0]))
    return lambda picked: scenes.pose[picked], peopled


def batches(
    kind: str,
    scenes: SceneSet,
    latents: Tensor,
    tokens: Tensor,
    batch: int,
    length_of: Callable[[int], int],
) -> Callable[[int, torch.Generator], Batch]:
    """What `train_control_net` asks for; prompts are cut to `length_of(step)` tokens."""
    hints, pool = hints_of(kind, scenes)

    def batch_of(step: int, generator: torch.Generator) -> Batch:
        drawn = torch.randint(len(pool), (batch,), generator=generator).numpy()
        picked = np.sort(pool[drawn])
        return Batch(latents[picked], tokens[picked, : length_of(step)], hint_tensor(hints(picked)))

    return batch_of


def hint_tensor(hints: NDArray[Any]) -> Tensor:
    """uint8 hints, grey (n, H, W) or RGB (n, H, W, 3), as float (n, 3, H, W), 0..1."""
    found = torch.from_numpy(np.ascontiguousarray(hints)).float() / 255
    if found.ndim == 3:
        return found[:, None].expand(-1, 3, -1, -1).contiguous()
    return found.permute(0, 3, 1, 2).contiguous()
