"""Line art: the networks draw black on white, the hint is white on black."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.preprocessors.learned.lineart import LINEART, lineart
from controlstack.preprocessors.learned.lineart_anime import lineart_anime

CPU = torch.device("cpu")


def _paper(white: float, black: float) -> Any:
    """A network that draws one black column, the third, on white paper."""

    def draw(given: Tensor) -> Tensor:
        paper = torch.full((1, 1, *given.shape[2:]), white)
        paper[..., 2] = black
        return paper

    return draw


@pytest.mark.parametrize("anime", [False, True])
def test_black_on_white_becomes_white_on_black(anime: bool) -> None:
    picture = np.zeros((9, 7, 3), np.uint8)
    hint = (
        lineart_anime(picture, CPU, _paper(1.0, -1.0))
        if anime
        else lineart(picture, CPU, _paper(1.0, 0.0), _paper(0.0, 0.0))
    )
    assert (hint[:, 2] == 255).all()
    assert not np.delete(hint, 2, axis=1).any()


def test_coarse_is_the_second_network() -> None:
    fine, coarse = _paper(1.0, 1.0), _paper(0.5, 0.5)
    picture = np.zeros((9, 7, 3), np.uint8)
    assert not lineart(picture, CPU, fine, coarse).any()
    assert (lineart(picture, CPU, fine, coarse, coarse=True) == 255 - 127).all()
    assert LINEART.settings({}) == {"coarse": False}
