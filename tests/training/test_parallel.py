"""Gradients as one vector, in one process and in two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from controlstack.training.parallel import FlatGradients, agreed, processes, rank, run_parallel


def test_gradients_are_views_of_one_vector() -> None:
    layer = nn.Linear(2, 1)
    gradients = FlatGradients(list(layer.parameters()))
    layer(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert gradients.vector.tolist() == [3.0, 4.0, 1.0]
    gradients.clip(1.0)
    assert layer.weight.grad is not None
    assert float(gradients.vector.norm()) == pytest.approx(1.0, rel=1e-4)
    assert float(layer.weight.grad[0, 0]) == pytest.approx(3 / 26**0.5, rel=1e-4)


def _average(folder: Path) -> None:
    layer = nn.Linear(1, 1, bias=False)
    gradients = FlatGradients(list(layer.parameters()))
    gradients.vector.fill_(float(rank() + 1))
    gradients.average()
    found = f"{processes()} {float(gradients.vector)} {agreed(float(rank()))}"
    (folder / str(rank())).write_text(found)


def test_two_processes_agree_on_the_mean(tmp_path: Path) -> None:
    run_parallel(_average, (tmp_path,), 2)
    assert [(tmp_path / name).read_text() for name in "01"] == ["2 1.5 0.0"] * 2
