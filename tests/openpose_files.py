"""OpenPose's three files of weights as they are published: pickles whose names lack the blocks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from controlstack.preprocessors.learned.networks import annotators
from tests.weights import drawn

BODY, HAND, FACE = "body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"


def network(file: str) -> nn.Module:
    """The network whose weights are published as `file`, as controlnet-aux builds it."""
    models = annotators("open_pose.model")
    make = {
        BODY: models.bodypose_model,
        HAND: models.handpose_model,
        FACE: annotators("open_pose.face").FaceNet,
    }[file]
    with torch.device("meta"):
        module: nn.Module = make()
    return module


def shapes(file: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes in `file`: model1_0.conv1_1.weight is conv1_1.weight there."""
    state = network(file).state_dict()
    blocks = 0 if file == FACE else 1
    return {name.split(".", blocks)[blocks]: tuple(value.shape) for name, value in state.items()}


def publish_random(folder: Path, file: str, seed: int = 0, gain: float = 1.4) -> Path:
    """`file` with random weights in `folder`."""
    return _saved(folder, file, drawn(shapes(file), seed, gain))


def publish_light(folder: Path, file: str) -> Path:
    """`file` with one random number for each tensor in `folder`: kilobytes instead of 150 MB."""
    numbers = drawn(dict.fromkeys(shapes(file), (1,)), seed=1)
    return _saved(
        folder,
        file,
        {name: (numbers[name] / 100).expand(shape) for name, shape in shapes(file).items()},
    )


def _saved(folder: Path, file: str, state: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / file)
    return folder / file
