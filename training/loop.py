"""The one training loop: any loss of a step, gradients added over batches and processes, AdamW,
EMA, checkpoints, the curve.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..ground.errors import UserError
from .checkpoint import Checkpoints
from .curve import Curve
from .ema import Ema
from .interrupt import StopRequest
from .manifest import DamagedError
from .optimiser import go_on_after, make_optimiser, make_schedule, moments_like
from .settings import TrainingSettings
from .state import STATE, is_finite, read_state
from .watch import Point, Validation, Watch


@dataclass(frozen=True)
class Task:
    """What is trained: `module` holds every trained parameter, `groups` are AdamW's (`params` and
    `lr`).

    `loss_of(step, part)` is the mean loss of this process's batch number `part` of a step, called
    in that order.
    """

    module: nn.Module
    groups: Sequence[dict[str, Any]]
    loss_of: Callable[[int, int], Tensor]
    validate: Callable[[int], Validation | None] = lambda step: None


@dataclass(frozen=True)
class Records:
    """Where a run is kept: `save` writes the module's weights and the settings into a folder, and
    `load` reads the weights from one. The `curve` is process 0's.
    """

    checkpoints: Checkpoints
    curve: Curve | None
    save: Callable[[Path], None]
    load: Callable[[Path], None]


@dataclass(frozen=True)
class Outcome:
    """How far a run came, its points since it began or was resumed, and whether it was stopped."""

    step: int
    points: tuple[Point, ...]
    stopped: bool


class DivergenceError(UserError):
    """The loss, its gradient or what came of them is not finite."""


class _Loss(nn.Module):
    """A task's loss as a module's forward pass, for accelerate to wrap."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.module = task.module
        self._loss_of = task.loss_of

    def forward(self, step: int, part: int) -> Tensor:
        return self._loss_of(step, part)


class Loop:
    """One run of a task. After `run` the module holds the weights that are kept."""

    def __init__(
        self,
        task: Task,
        settings: TrainingSettings,
        watch: Watch,
        accelerator: Any,
        records: Records | None = None,
    ) -> None:
        self.task, self.settings, self.watch = task, settings, watch
        self.accelerator, self.records = accelerator, records
        device = next(task.module.parameters()).device
        self.optimiser = make_optimiser(task.groups, settings, device)
        self.schedule = make_schedule(self.optimiser, settings)
        self._loss, self._stepper = accelerator.prepare(_Loss(task), self.optimiser)
        self._trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.ema = Ema(task.module, settings.ema) if settings.ema else None
        self.stop = StopRequest()
        self.step, self.points = 0, list[Point]()
        self._losses: list[float] = []
        self._earlier = self._busy = 0.0
        self._begun = time.monotonic()
        self._saved = -1

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint `folder`.

        Raises DamagedError; the weights are then of no meaning until it went on from another one.
        """
        assert self.records
        self.records.load(folder)
        file = folder / STATE
        state = read_state(file, self._like)
        step = state["step"]
        if self.records.checkpoints.of(step).name != folder.name:
            raise DamagedError(file, f"it is that of step {step}")
        go_on_after(step, state["optimiser"]["state"], self.optimiser, self.schedule)
        if self.ema:
            self.ema.resume(state["live"], step)
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step = self._saved = step
        self._losses, self._busy, self._earlier = state["losses"], state["busy"], state["elapsed"]

    def run(self) -> Outcome:
        """Train until the last step, or until somebody asks for an end.

        Raises DivergenceError at the first loss or gradient that is not finite, before it reaches a
        weight, and UserError where a checkpoint cannot be written. Whatever else ends it, the steps
        that were made are saved.
        """
        self._begun, self._first = time.monotonic(), self.step
        with self.stop.signals():
            self._tell(lambda: self.watch.begin(self.step, self.settings.steps))
            if self.step == 0 or self._owes_validation():
                self._validate()
            try:
                while self.step < self.settings.steps and not self._stopping():
                    self._advance()
            except DivergenceError:  # its weights may be what went wrong
                raise
            except Exception:
                self._rescue()
                raise
            stopped = self.step < self.settings.steps
            if self._saved != self.step:
                self._save()
        if self.ema:
            self.ema.settle()
        return Outcome(self.step, tuple(self.points), stopped)

    def _rescue(self) -> None:
        """Keep the steps that were made since the last checkpoint where a run fails: data that is
        gone, too little memory, another process that ended. Only what made it fail is told.
        """
        if self.step > self._first and self.step != self._saved:
            with suppress(Exception):
                self._save()

    def _advance(self) -> None:
        begun = time.monotonic()
        loss = self._learn()
        self._busy += time.monotonic() - begun
        self.step += 1
        self._losses.append(loss)
        self._tell(lambda: self.watch.step(self.step, loss))
        if self._due(self.settings.log_every):
            self._point()
        if self._due(self.settings.save_every):
            self._save()
        if self._due(self.settings.validate_every):
            self._validate()

    def _due(self, every: int) -> bool:
        return every > 0 and (self.step % every == 0 or self.step == self.settings.steps)

    def _learn(self) -> float:
        """One step of the optimiser; its loss."""
        parts = self.settings.accumulate
        total = torch.zeros((), device=self.accelerator.device)
        for part in range(parts):
            alone = part < parts - 1
            with self.accelerator.no_sync(self._loss) if alone else nullcontext():
                loss = self._loss(self.step, part) / parts
                self.accelerator.backward(loss)
            total += loss.detach()
        longest = self.settings.max_grad_norm or math.inf
        norm = self.accelerator.clip_grad_norm_(self._trained, longest)
        # One wait for the device a step: a step that went wrong must not reach the weights.
        loss, norm = self.accelerator.reduce(torch.stack([total, norm]), "mean").tolist()
        self._check_finite(loss, norm)
        self.rate = self.optimiser.param_groups[0]["lr"]
        self._stepper.step()
        self.schedule.step()
        # On a CPU memory that is kept costs less than memory that is asked for at each step (5 %).
        self._stepper.zero_grad(set_to_none=self.accelerator.device.type != "cpu")
        if self.ema:
            self.ema.update()
        return float(loss)

    def _check_finite(self, loss: float, norm: float) -> None:
        scaled = self.accelerator.scaler is not None  # which leaves out gradients that overflow
        if math.isfinite(loss) and (scaled or math.isfinite(norm)):
            return
        what = f"The loss is {loss}" if not math.isfinite(loss) else f"The gradient is {norm}"
        rate = self.optimiser.param_groups[0]["lr"]
        raise DivergenceError(
            f"{what} at step {self.step + 1}, with a learning rate of {rate:.3g}; no weight was "
            f"changed by it, and {self._kept()}. Take a lower rate."
        )

    def _require_finite(self) -> None:
        """What is kept is looked at: numbers may overflow where each loss and gradient did not."""
        kept = {"weights": self._trained, "state of the optimiser": self.optimiser.state}
        if self.ema:
            kept["average of the weights"] = self.ema.average
        for what, numbers in kept.items():
            if not is_finite(numbers):
                raise DivergenceError(
                    f"The {what} after step {self.step} holds numbers that are not finite; "
                    f"{self._kept()}. Take a lower rate."
                )

    def _kept(self) -> str:
        """What there is to begin again from after a step that went wrong: a checkpoint that was
        made just before it has the weights that went wrong.
        """
        checkpoints = self.records.checkpoints if self.records else None
        steps = checkpoints.steps() if checkpoints else []
        good = [step for step in steps if step < self.step]
        if checkpoints and good:
            last = checkpoints.of(good[-1])
            return f"the last good checkpoint is {last}, whose network a new run may start from"
        if checkpoints and steps:
            last = checkpoints.of(steps[-1])
            return f"the only checkpoint, {last}, has the weights that led to it"
        return "there is no checkpoint yet"

    def _stopping(self) -> bool:
        """Whether any process was asked to stop; one alone need not wait for its device."""
        if self.accelerator.num_processes == 1:
            return self.stop.asked
        asked = torch.tensor(float(self.stop.asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum").item())

    def _point(self) -> None:
        shares = self.settings.batch * self.settings.accumulate * self.accelerator.num_processes
        now = time.monotonic() - self._begun
        left = now / (self.step - self._first) * (self.settings.steps - self.step)
        mean = sum(self._losses) / len(self._losses)
        speed = shares * len(self._losses) / max(self._busy, 1e-9)
        point = Point(self.step, mean, self.rate, speed, self._earlier + now, left)
        self._losses, self._busy = [], 0.0
        self.points.append(point)
        if self.records and self.records.curve:
            self.records.curve.point(point)
        self._tell(lambda: self.watch.point(point))

    def _validate(self) -> None:
        if not self.accelerator.is_main_process or not self.settings.validate_every:
            return
        with self.ema.applied() if self.ema else nullcontext():
            found = self.stop.hear(lambda: self.task.validate(self.step))
        if found and self.records and self.records.curve:
            self.records.curve.validation(found)

    def _owes_validation(self) -> bool:
        """Whether the run was killed between its last checkpoint and the validation after it."""
        curve = self.records.curve if self.records else None
        if curve is None or self.step in curve.validated:
            return False
        return self._due(self.settings.validate_every)

    def _save(self) -> None:
        self._require_finite()
        self._saved = self.step
        if not self.records or not self.accelerator.is_main_process:
            return
        folder = self.records.checkpoints.save(self.step, self._write)
        self._tell(lambda: self.watch.saved(self.step, folder))

    def _write(self, folder: Path) -> None:
        assert self.records
        with self.ema.applied() if self.ema else nullcontext():
            self.records.save(folder)
        torch.save(self._state(), folder / STATE)

    def _state(self) -> dict[str, Any]:
        """What a checkpoint has to remember besides the weights."""
        state = {
            "step": self.step,
            "optimiser": self.optimiser.state_dict(),
            "losses": self._losses,
            "busy": self._busy,
            "elapsed": self._earlier + time.monotonic() - self._begun,
        }
        if self.accelerator.scaler:
            state["scaler"] = self.accelerator.scaler.state_dict()
        if self.ema:
            state["live"] = self.ema.live()
        return state

    def _like(self, found: Any) -> dict[str, Any]:
        """What a state that was `found` in a checkpoint should be like."""
        kept = found["optimiser"]
        moments = moments_like(kept["state"], self.optimiser)
        losses = [0.0] * len(found["losses"])
        return {**self._state(), "optimiser": {**kept, "state": moments}, "losses": losses}

    def _tell(self, call: Callable[[], object]) -> None:
        """Tell whoever watches, from process 0."""
        if self.accelerator.is_main_process:
            self.stop.hear(call)
