"""The training loop: it learns, averages, reports, keeps to its budget."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from controlstack.training.ema import Ema
from controlstack.training.loop import LoopSettings, Progress, learning_rate_factor, train


def _fit(settings: LoopSettings) -> tuple[nn.Linear, list[Progress], list[int]]:
    torch.manual_seed(0)
    line = nn.Linear(1, 1)
    reports: list[Progress] = []
    saved: list[int] = []

    def loss_of(step: int) -> Tensor:
        x = torch.randn(16, 1)
        loss: Tensor = ((line(x) - (3 * x - 1)) ** 2).mean()
        return loss

    groups = [{"params": list(line.parameters()), "lr": 0.1}]
    train(line, groups, loss_of, settings, reports.append, saved.append)
    return line, reports, saved


def test_it_learns_reports_and_saves() -> None:
    settings = LoopSettings(300, 16, ema_decay=0.9, report_every=100, checkpoint_every=120)
    line, reports, saved = _fit(settings)
    assert float(line.weight) == pytest.approx(3, abs=0.05)
    assert float(line.bias) == pytest.approx(-1, abs=0.05)
    assert [report.step for report in reports] == [100, 200, 300]
    assert reports[-1].loss < reports[0].loss
    assert reports[-1].left == 0
    assert saved == [120, 240, 300]


def test_a_budget_of_time_ends_it_early() -> None:
    _, reports, saved = _fit(LoopSettings(10**9, 16, seconds=0.2, report_every=10**9))
    assert len(reports) == 1
    assert saved[-1] == reports[0].step < 10**6


def test_a_loss_that_is_not_finite_stops_it() -> None:
    weight = nn.Linear(1, 1)
    groups = [{"params": list(weight.parameters()), "lr": 0.1}]
    with pytest.raises(FloatingPointError, match="learning rate"):
        train(
            weight,
            groups,
            lambda step: weight(torch.ones(1, 1)).sum() * math.inf,
            LoopSettings(3, 1),
            lambda progress: None,
            lambda step: None,
        )


def test_learning_rate_warms_up_and_decays() -> None:
    assert learning_rate_factor(0, 0.0, 100) == pytest.approx(0.01)
    assert learning_rate_factor(100, 0.0, 100) == pytest.approx(1.0)
    assert learning_rate_factor(1000, 1.0, 100) == pytest.approx(0.02)


def test_average_is_lent_and_given_back() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    ema = Ema(layer, decay=0.5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    ema.update()
    with ema.applied():
        assert 0 < float(layer.weight) < 1
    assert float(layer.weight) == 1
    ema.settle()
    assert 0 < float(layer.weight) < 1
