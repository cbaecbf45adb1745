"""HED with weights set by hand: white where its scales see light, in place at every one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.preprocessors.learned.hed import HED, HED_SCRIBBLE
from tests.annotator_files import network, publish

CPU = torch.device("cpu")
SQUARE = (slice(64, 112), slice(32, 96))
"""Rows and columns, on the grid of the coarsest scale (16)."""


def _bright_at(scale: int) -> dict[str, Tensor]:
    """Weights with which `scale` (1 to 5) alone sees the brightness: each layer passes it on, and
    the mean of the five scales is 0.2 x brightness - 25."""
    shapes = network("ControlNetHED.pth").state_dict()
    state = {name: torch.zeros(value.shape) for name, value in shapes.items()}
    for name, value in state.items():
        if ".convs." in name and name.endswith("weight"):
            value[0, 0, 1, 1] = 1
    state["block1.convs.0.weight"][0, :, 1, 1] = 1 / 3
    state[f"block{scale}.projection.weight"][0, 0] = 5 * 0.2
    state[f"block{scale}.projection.bias"][0] = 5 * -25.0
    return state


def _picture(height: int = 160, width: int = 192) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[SQUARE] = 255
    return picture


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(160, 192), (151, 181)])
def test_a_white_square_is_in_place_at_every_scale(
    scale: int, size: tuple[int, int], tmp_path: Path
) -> None:
    assert HED.learning is not None
    path = publish(tmp_path, "ControlNetHED.pth", _bright_at(scale))
    hint = HED.learning.load([path])(_picture(*size), CPU, safe=False)
    rows, columns = np.nonzero(hint[:, :, 0] > 127)
    assert abs(rows.min() - 64) <= 1
    assert abs(rows.max() - 111) <= 1
    assert abs(columns.min() - 32) <= 1
    assert abs(columns.max() - 95) <= 1
    assert hint[88, 64].tolist() == [255, 255, 255]
    assert hint[10, 10].tolist() == [0, 0, 0]


def test_safe_edges_have_three_levels(tmp_path: Path) -> None:
    assert HED.learning is not None
    path = publish(tmp_path, "ControlNetHED.pth", _bright_at(1))
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    loaded = HED.learning.load([path])
    assert set(np.unique(loaded(ramp, CPU, safe=True))) == {0, 127, 255}
    smooth = loaded(ramp, CPU, safe=False)[0, :, 0].astype(float)
    # sigmoid(0.2 x - 25), fallen to the byte below; the published file's weights are halves
    wanted = 255 / (1 + np.exp(-(0.2 * np.arange(256) - 25)))
    assert np.abs(smooth - wanted).max() < 2


def test_a_scribble_is_black_and_white_only_along_the_edges(tmp_path: Path) -> None:
    assert HED_SCRIBBLE.learning is not None
    state = _bright_at(1)
    path = publish(tmp_path, "ControlNetHED.pth", state)
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[37:46] = 255  # broad enough to pass the threshold after the blur
    hint = HED_SCRIBBLE.learning.load([path])(picture, CPU)
    assert set(np.unique(hint)) == {0, 255}
    rows = np.nonzero(hint[:, 64, 0])[0]
    assert abs((rows.min() + rows.max()) / 2 - 41) <= 1
