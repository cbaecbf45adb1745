"""The one training loop: any loss of a step, gradients added over batches and processes, AdamW,
EMA, checkpoints, the curve. It is a generator: whoever goes through its events makes it go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..ground.errors import UserError
from .checkpoint import Checkpoints
from .checkpoint_state import STATE, is_finite, read_state
from .curve import Curve, Entry
from .ema import Ema
from .events import Begun, Event, Events, Note, Point, Saved, Stepped, Validation
from .gain import settled
from .interrupt import StopRequest
from .manifest import DamagedError
from .optimiser import go_on_after, make_optimiser, make_schedule, moments_like
from .settings import TrainingSettings


@dataclass(frozen=True)
class Task:
    """What is trained: `module` holds every trained parameter, `groups` are AdamW's (`params` and
    `lr`).

    `loss_of(step, part)` is the mean loss of this process's batch number `part` of a step, called
    in that order. `validate(step)` tries the module while it holds the weights that would be kept.
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
    """One run of a task: `step` is how far it came. After `run` the module holds the weights that
    are kept, and `stopped` says whether it was stopped before its last step. Where the gain has
    grown no more (`stop_when`), it is done before that.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainingSettings,
        accelerator: Any,
        records: Records | None = None,
    ) -> None:
        self.task, self.settings = task, settings
        self.accelerator, self.records = accelerator, records
        device = next(task.module.parameters()).device
        self.optimiser = make_optimiser(task.groups, settings, device)
        self.schedule = make_schedule(self.optimiser, settings)
        self._loss, self._stepper = accelerator.prepare(_Loss(task), self.optimiser)
        self._trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.ema = Ema(task.module, settings.ema) if settings.ema else None
        self.stop = StopRequest()
        self.step, self.stopped = 0, False
        self._losses: list[float] = []
        self._gains: list[float] = []
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

    def run(self) -> Events:
        """Train until the last step, or until a signal asks for an end.

        Each process goes through events of its own; validations and checkpoints are process 0's.
        Raises DivergenceError at the first loss or gradient that is not finite, before it reaches a
        weight, and UserError where a checkpoint cannot be written. Whatever else ends it, the steps
        that were made are saved, also where whoever goes through the events goes no further.
        """
        self._begun, self._first = time.monotonic(), self.step
        if self.records and self.records.curve:
            self._gains = [one.gain for one in self.records.curve.validations]
        with self.stop.signals():
            try:
                yield Begun(self.step, self.settings.steps)
                if self.step == 0 or self._owes_validation():
                    yield from self._validate()
                asked = done = False
                while self.step < self.settings.steps and not asked and not done:
                    asked, done = self._stopping()
                    if not asked and not done:
                        yield from self._advance()
                self.stopped = asked and not done
                if done:
                    yield Note(
                        f"the gain has not grown in {self.settings.stop_when} validations: the "
                        f"training is done at step {self.step}"
                    )
                if self._saved != self.step:
                    yield from self._save()
            except DivergenceError:  # its weights may be what went wrong
                raise
            except GeneratorExit:  # nobody listens any more
                if self._is_ahead():
                    list(self._save())
                raise
            except KeyboardInterrupt:  # at once, after it was asked for an end
                raise
            except BaseException:  # data that is gone, or a host's Cancel while its encoder works
                if self._is_ahead():
                    with suppress(Exception):
                        yield from self._save()
                raise
        if self.ema:
            self.ema.settle()

    def _is_ahead(self) -> bool:
        """Whether steps were made since the last checkpoint."""
        return self.step > self._first and self.step != self._saved

    def _advance(self) -> Iterator[Event]:
        begun = time.monotonic()
        loss = self._learn()
        self._busy += time.monotonic() - begun
        self.step += 1
        self._losses.append(loss)
        point = self._recorded(self._point()) if self._due(self.settings.log_every) else None
        yield Stepped(self.step, loss)
        if point:
            yield point
        if self._due(self.settings.save_every):
            yield from self._save()
        if self._due(self.settings.validate_every):
            yield from self._validate()

    def _due(self, every: int) -> bool:
        return every > 0 and (self.step % every == 0 or self.step == self.settings.steps)

    def _learn(self) -> float:
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

    def _stopping(self) -> tuple[bool, bool]:
        """Whether any process was asked to stop, and whether the first, which validates, says that
        the gain has grown enough; one alone need not wait for its device."""
        told = (self.stop.asked, settled(self._gains, self.settings.stop_when))
        if self.accelerator.num_processes == 1:
            return told
        numbers = torch.tensor([float(one) for one in told], device=self.accelerator.device)
        asked, done = self.accelerator.reduce(numbers, "sum").tolist()
        return bool(asked), bool(done)

    def _point(self) -> Point:
        shares = self.settings.batch * self.settings.accumulate * self.accelerator.num_processes
        now = time.monotonic() - self._begun
        left = now / (self.step - self._first) * (self.settings.steps - self.step)
        mean = sum(self._losses) / len(self._losses)
        speed = shares * len(self._losses) / max(self._busy, 1e-9)
        self._losses, self._busy = [], 0.0
        return Point(self.step, mean, self.rate, speed, self._earlier + now, left)

    def _validate(self) -> Iterator[Validation]:
        if not self.accelerator.is_main_process or not self.settings.validate_every:
            return
        try:
            with self.ema.applied() if self.ema else nullcontext():
                found = self.task.validate(self.step)
        except KeyboardInterrupt:
            self.stop.asked = True
            return
        if found:
            self._gains.append(found.gain)
            yield self._recorded(found)

    def _recorded(self, entry: Entry) -> Entry:
        """`entry`, which is in the curve now."""
        if self.records and self.records.curve:
            self.records.curve.add(entry)
        return entry

    def _owes_validation(self) -> bool:
        """Whether the run was killed between its last checkpoint and the validation after it."""
        curve = self.records.curve if self.records else None
        if curve is None or any(one.step == self.step for one in curve.validations):
            return False
        return self._due(self.settings.validate_every)

    def _save(self) -> Iterator[Saved]:
        self._require_finite()
        self._saved = self.step
        if self.records and self.accelerator.is_main_process:
            yield Saved(self.step, self.records.checkpoints.save(self.step, self._write))

    def _write(self, folder: Path) -> None:
        assert self.records
        with self.ema.applied() if self.ema else nullcontext():
            self.records.save(folder)
        torch.save(self._state(), folder / STATE)

    def _state(self) -> dict[str, Any]:
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
