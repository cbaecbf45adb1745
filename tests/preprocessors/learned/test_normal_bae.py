"""BAE normals: which colour a direction gets, with the network's last layer set by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from controlstack.preprocessors.learned.normal_bae import NORMAL_BAE
from tests.annotator_files import publish, random_state

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("bae")
    assert NORMAL_BAE.learning is not None
    yield NORMAL_BAE.learning.load([publish(folder, "scannet.pt", random_state("scannet.pt"))])
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("normal", "colour"),
    [
        # ControlNet 1.1: "blue is front, red is left, green is top"
        ((1.0, 0.0, 0.0), (255, 127, 127)),  # left
        ((-1.0, 0.0, 0.0), (0, 127, 127)),  # right
        ((0.0, 1.0, 0.0), (127, 255, 127)),  # up
        ((0.0, -1.0, 0.0), (127, 0, 127)),  # down
        ((0.0, 0.0, 1.0), (127, 127, 255)),  # to the viewer
        ((0.0, 0.0, 7.0), (127, 127, 255)),  # the network makes unit vectors
        ((0.6, 0.0, 0.8), (204, 127, 229)),
    ],
)
def test_a_direction_has_its_colour(
    loaded: Any, normal: tuple[float, ...], colour: tuple[int, ...]
) -> None:
    last: nn.Conv1d = loaded.networks[0].decoder.out_conv_res1[6]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([*normal, 1.0]))
    hint = loaded(np.zeros((5, 40, 3), np.uint8), CPU)
    assert np.abs(hint.astype(int) - colour).max() <= 1
    assert hint.shape == (5, 40, 3)
    assert hint.flags.c_contiguous
