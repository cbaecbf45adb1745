"""The training nodes as a graph calls them, on the demo model with pictures of 64 px."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from controlstack.nodes.net_nodes import ControlStackControlNetFromModel
from controlstack.nodes.train_nodes import ControlStackTrain, ControlStackTrainingData
from controlstack.nodes.train_values import Trainable
from tests.training_files import fill50k

SIDE = 64
HINT_CHANNELS = "8,8,16,16"
FAST: dict[str, Any] = {"steps": 2, "batch": 2, "rate": 1e-3, "warmup": 0, "validate_every": 0}


def data_of(folder: Path, count: int = 5, **settings: Any) -> Any:
    """The wire from Training Data, of `count` pictures that are made in `folder`."""
    given = {"resolution": str(SIDE), **settings}
    return ControlStackTrainingData().open(path=str(fill50k(folder, count, SIDE, SIDE)), **given)[0]


def net_of(model: Any, seed: int = 0, **settings: Any) -> Trainable:
    """The wire from ControlNet from Model."""
    given = {"hint_channels": HINT_CHANNELS, **settings}
    return ControlStackControlNetFromModel().make(model, seed, **given)[0]


def trained(
    parts: Any, net: Trainable, data: Any, name: str = "run", resume: bool = False, **settings: Any
) -> tuple[Any, Trainable, Any, Tensor]:
    """What Train ControlNet gives; `parts` are MODEL, CLIP and VAE."""
    with torch.no_grad():  # as the embedded host calls nodes
        return ControlStackTrain().train(*parts, net, data, name, resume, **{**FAST, **settings})


def weights(net: Trainable) -> dict[str, Tensor]:
    """Copies of a network's weights."""
    return {name: value.clone() for name, value in net.network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all weights are equal, bit for bit."""
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())
