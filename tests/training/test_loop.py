"""The training loop on a line that it fits: it learns, averages, adds gradients, keeps time."""

from __future__ import annotations

import math
import signal
import sys
import threading
from contextlib import closing
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from controlstack.ground.errors import UserError
from controlstack.training.chance import generator
from controlstack.training.ema import Ema
from controlstack.training.events import Begun, Point, Stepped
from controlstack.training.interrupt import StopRequest
from controlstack.training.loop import Loop, Task
from controlstack.training.optimiser import make_optimiser, make_schedule
from controlstack.training.processes import accelerator_for
from controlstack.training.settings import TrainingSettings
from tests.training.small_runs import Hear, quiet, stop_after

CPU = torch.device("cpu")


def _fit(hear: Hear = quiet, samples: int = 16, **given: Any) -> tuple[nn.Linear, Loop]:
    torch.manual_seed(0)
    line = nn.Linear(1, 1)
    settings = TrainingSettings(**{"rate": 0.1, "schedule": "constant", "warmup": 0, **given})

    def loss_of(step: int, part: int) -> Tensor:
        x = torch.randn(samples, 1, generator=generator(step))
        x = x.chunk(settings.accumulate)[part]
        loss: Tensor = ((line(x) - (3 * x - 1)) ** 2).mean()
        return loss

    task = Task(line, [{"params": list(line.parameters()), "lr": settings.rate}], loss_of)
    loop = Loop(task, settings, accelerator_for(CPU, "fp32"))
    with closing(loop.run()) as events:
        for event in events:
            hear(event)
    return line.requires_grad_(False), loop


def test_it_learns_and_tells() -> None:
    events: list[Any] = []
    line, loop = _fit(events.append, steps=250, batch=16, ema=0.9, log_every=100)
    points = [event for event in events if isinstance(event, Point)]
    assert float(line.weight) == pytest.approx(3, abs=0.05)
    assert float(line.bias) == pytest.approx(-1, abs=0.05)
    assert [point.step for point in points] == [100, 200, 250]
    assert points[-1].loss < points[0].loss
    assert points[-1].left == 0
    assert (loop.step, loop.stopped) == (250, False)
    assert events[0] == Begun(0, 250)
    assert [event.step for event in events if isinstance(event, Stepped)] == [*range(1, 251)]


def test_a_points_loss_is_the_mean_since_the_last_point() -> None:
    events: list[Any] = []
    _fit(events.append, steps=10, log_every=4)
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert [event.loss for event in events if isinstance(event, Point)] == pytest.approx(
        [sum(losses[:4]) / 4, sum(losses[4:8]) / 4, sum(losses[8:]) / 2]
    )


def test_accumulated_batches_are_one_larger_batch() -> None:
    whole, _ = _fit(steps=20)
    parts, _ = _fit(steps=20, accumulate=4)
    assert torch.allclose(whole.weight, parts.weight, atol=1e-6)
    assert torch.allclose(whole.bias, parts.bias, atol=1e-6)


def test_a_long_gradient_is_scaled_down_and_0_is_off() -> None:
    # SGD would show the norm itself; AdamW's first step does not depend on it, its later ones do.
    free, _ = _fit(steps=20, max_grad_norm=0.0)
    loose, _ = _fit(steps=20, max_grad_norm=1e6)
    tight, _ = _fit(steps=20, max_grad_norm=0.5)
    assert torch.equal(free.weight, loose.weight)
    assert not torch.allclose(free.weight, tight.weight, atol=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stops_it_before_it_reaches_a_weight(bad: float) -> None:
    line = nn.Linear(1, 1)
    before: list[Tensor] = []

    def loss_of(step: int, part: int) -> Tensor:
        before[:] = [p.detach().clone() for p in line.parameters()]
        loss: Tensor = line(torch.ones(1, 1)).sum() * (bad if step == 2 else 1.0)
        return loss

    task = Task(line, [{"params": list(line.parameters()), "lr": 0.1}], loss_of)
    loop = Loop(task, TrainingSettings(steps=5), accelerator_for(CPU, "fp32"))
    with pytest.raises(
        UserError, match=r"loss is -?(nan|inf) at step 3.*no checkpoint yet.*lower rate"
    ):
        list(loop.run())
    assert all(torch.equal(a, b) for a, b in zip(before, line.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_stops_it_though_the_loss_is() -> None:
    weight = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        weight.weight.zero_()
    task = Task(
        weight,
        [{"params": list(weight.parameters()), "lr": 0.1}],
        lambda step, part: weight(torch.ones(1, 1)).sqrt().sum(),
    )
    loop = Loop(task, TrainingSettings(steps=5), accelerator_for(CPU, "fp32"))
    with pytest.raises(UserError, match="gradient is inf at step 1"):
        list(loop.run())
    assert not weight.weight.any()


def test_half_precision_is_refused_on_a_cpu() -> None:
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        accelerator_for(CPU, "fp16")


def test_runs_of_other_precision_follow_each_other_in_one_process() -> None:
    found = [accelerator_for(CPU, precision).mixed_precision for precision in ("bf16", "fp32")]
    assert found == ["bf16", "no"]


@pytest.mark.parametrize("schedule", ["constant", "constant_with_warmup", "linear", "cosine"])
def test_learning_rate_follows_its_name(schedule: str) -> None:
    settings = TrainingSettings(steps=100, warmup=10, schedule=schedule, rate=2.0)
    optimiser = make_optimiser(
        [{"params": [nn.Parameter(torch.zeros(1))], "lr": 2.0}], settings, CPU
    )
    rates, made = [], make_schedule(optimiser, settings)
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        made.step()
    assert rates[5] == pytest.approx(2.0 if schedule == "constant" else 1.0)
    done = (55 - 10) / 90
    left = {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}.get(schedule, 1.0)
    assert rates[55] == pytest.approx(2 * left)


def test_a_polynomial_rate_falls_to_its_end() -> None:
    settings = TrainingSettings(steps=10, warmup=0, schedule="polynomial", rate=1e-5)
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1e-5, 1e-4)]
    optimiser = make_optimiser(groups, settings, CPU)
    made = make_schedule(optimiser, settings)
    rates = []
    for _ in range(10):
        optimiser.step()
        made.step()
        rates.append([group["lr"] for group in optimiser.param_groups])
    assert rates[4] == pytest.approx([(1e-5 - 1e-7) / 4 + 1e-7, 10 * ((1e-5 - 1e-7) / 4 + 1e-7)])
    assert rates[9] == pytest.approx([1e-7, 1e-6])


def test_a_polynomial_schedule_below_its_end_is_refused() -> None:
    settings = TrainingSettings(schedule="polynomial", rate=1e-8)
    with pytest.raises(UserError, match="polynomial"):
        make_optimiser([{"params": [nn.Parameter(torch.zeros(1))]}], settings, CPU)


def test_the_small_optimiser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    settings = TrainingSettings(optimizer="adamw8bit")
    with pytest.raises(UserError, match="pip install bitsandbytes"):
        make_optimiser([{"params": [nn.Parameter(torch.zeros(1))]}], settings, CPU)


def test_average_is_lent_and_given_back() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    ema = Ema(layer, decay=0.5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    ema.update()  # its first decay is 2 / 11
    with ema.applied():
        assert layer.weight.item() == pytest.approx(1 - 2 / 11)
    assert layer.weight.item() == 1
    ema.settle()
    assert layer.weight.item() == pytest.approx(1 - 2 / 11)


def test_a_signal_ends_the_run_after_that_step() -> None:
    _, loop = _fit(stop_after(4), steps=10)
    assert (loop.step, loop.stopped) == (4, True)


def test_the_first_ctrl_c_asks_and_a_later_one_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = StopRequest()
    with stop.signals():
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        signal.raise_signal(signal.SIGINT)  # a launcher's echo
        stop._since -= 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_beside_the_main_thread_leaves_signals_alone() -> None:
    found: list[Loop] = []
    thread = threading.Thread(target=lambda: found.append(_fit(steps=2)[1]))
    thread.start()
    thread.join()
    assert found[0].step == 2
