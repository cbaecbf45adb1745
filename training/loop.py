"""The one training loop: any loss of a step number, AdamW, warm-up and cosine decay, EMA,
checkpoints, progress.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .ema import Ema
from .parallel import FlatGradients, agreed, processes, rank


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast. `batch` is one process's; `seconds` a budget of wall-clock time that
    ends (and decays) the run before `steps`.
    """

    steps: int
    batch: int
    ema_decay: float = 0.999
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    seconds: float = math.inf
    report_every: int = 50
    checkpoint_every: int = 500


@dataclass(frozen=True)
class Progress:
    """One point of the training curve: the mean loss since the last one, images a second, seconds
    gone and left.
    """

    step: int
    loss: float
    images_per_second: float
    elapsed: float
    left: float


def learning_rate_factor(step: int, done: float, warmup: int) -> float:
    """Linear warm-up over `warmup` steps, then a cosine from 1 to 0.02 over `done` (0..1)."""
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return min(1.0, (step + 1) / max(warmup, 1)) * cosine


def train(
    module: nn.Module,
    groups: Iterable[dict[str, Any]],
    loss_of: Callable[[int], Tensor],
    settings: LoopSettings,
    report: Callable[[Progress], None],
    checkpoint: Callable[[int], None],
) -> Ema:
    """Minimise `loss_of(step)` over `groups` (AdamW's parameter groups, each with `params` and
    `lr`).

    `module` holds every trained parameter. `checkpoint(step)` is called while it holds the averaged
    weights, and once at the end; on return the module holds the average for good. Raises
    FloatingPointError when the loss is not finite.
    """
    optimiser = torch.optim.AdamW(
        list(groups), betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
    )
    peaks = [group["lr"] for group in optimiser.param_groups]
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    gradients = FlatGradients(trained)
    ema = Ema(module, settings.ema_decay)
    begun = time.monotonic()
    losses: list[float] = []
    since, done, step = begun, 0.0, 0
    while step < settings.steps and done < 1:
        factor = learning_rate_factor(step, done, settings.warmup)
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        loss = loss_of(step)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.average()
        gradients.clip(settings.clip)
        optimiser.step()
        gradients.vector.zero_()
        ema.update()
        step += 1
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"The loss is {losses[-1]} at step {step}: lower the learning rate."
            )
        now = time.monotonic()
        done = max(step / settings.steps, _spent(now - begun, settings.seconds))
        if rank() == 0 and (step % settings.report_every == 0 or done >= 1):
            speed = len(losses) * settings.batch * processes() / (now - since)
            left = (now - begun) * (1 / done - 1)
            report(Progress(step, sum(losses) / len(losses), speed, now - begun, max(left, 0.0)))
            losses, since = [], now
        if rank() == 0 and step % settings.checkpoint_every == 0 and done < 1:
            with ema.applied():
                checkpoint(step)
    ema.settle()
    if rank() == 0:
        checkpoint(step)
    return ema


def _spent(elapsed: float, budget: float) -> float:
    """The part of the time that is gone, the same in all processes."""
    return 0.0 if budget == math.inf else agreed(elapsed / budget)
