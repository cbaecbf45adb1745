"""Nets that learn the line of `lines.py`, each tried while it learns, and the figures of each try.

All have one constant rate after a warm-up and a short average, so that the same run tells of every
number of steps and of every sum of CPU seconds. Figures lie in the run's own curve as soon as they
are there: a run that was stopped has its part of the table, and goes on.

Run one of them: python -m benchmarks.paper.line_nets --kind lite --seed 2 --steps 600
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from controlstack.demo.models import BASE
from controlstack.headless.training_base import load_base
from controlstack.training.base import Base
from controlstack.training.checkpoint import NETWORK
from controlstack.training.control_net import Trained, train_control_net
from controlstack.training.curve import read_curve
from controlstack.training.events import Validation
from controlstack.training.export import load_network
from controlstack.training.gain import GainMeasure, Losses
from controlstack.training.settings import NetSettings, TrainingSettings
from controlstack.training.trainable import control_net_from

from .lines import Rows, distances, held_out_rows, training_rows
from .networks import NET, TRAINING
from .sampling import Control, Pictures, Sampling, sample
from .world import World, hint_tensor, plain_attention

BATCH = 8
LEARNING: TrainingSettings = replace(
    TRAINING, batch=BATCH, schedule="constant_with_warmup", warmup=50, precision="fp32"
)
"""fp32, as most processors have no instructions for bfloat16."""
HOW = Sampling(steps=8, halves=False)
CPU = "CPU seconds"
"""Of the training alone, up to a step: forward, backward, optimiser, data; not of the tries."""
AWAY = "px"
GAIN_SEED = 9


@dataclass(frozen=True)
class Run:
    """What is trained: the kind of net, on how many rows, with which seed (of fresh weights, order,
    noise) and how many times the demo's rates.
    """

    kind: str = "controlnet"
    seed: int = 1
    rows: int = 1000
    rate: float = 1.0

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"line-{self.kind}-{self.rows}-{self.rate:g}-{self.seed}"

    @property
    def net(self) -> NetSettings:
        """What it is made as."""
        return replace(NET, kind=self.kind)


@dataclass(frozen=True)
class Try:
    """Measures a net on `rows`: of the first `held` its gain and how often their own lines win,
    and of the first `drawn` how far head and feet are off in pictures that it draws.
    """

    world: World
    base: Base
    rows: Rows
    held: int
    drawn: int

    @cached_property
    def _gain(self) -> GainMeasure:
        rows = self.rows.first(self.held)
        return GainMeasure(self.base, rows.pictures(), hint_tensor(rows.hints), GAIN_SEED)

    def losses(self, network: Any) -> Losses:
        """The losses that the gain is made of."""
        return self._gain(network)

    def away(self, network: Any) -> NDArray[np.float64]:
        """Pixels (drawn,) of each of the `pictures`."""
        return distances(self.pictures(network), self.rows.first(self.drawn).joints)

    def pictures(self, network: Any) -> Pictures:
        """What is drawn under `network` of the rows' lines and captions."""
        rows = self.rows.first(self.drawn)
        controls = [Control(network, rows.hints)]
        return sample(self.world, rows.captions, rows.seeds, controls, HOW, self.base.unet)

    def figures(self, network: Any, draws: bool = True) -> dict[str, float]:
        """Gain, own hint wins, and the mean of `away` where it `draws`."""
        found = self.losses(network).figures()
        if draws and self.drawn:
            found[AWAY] = float(self.away(network).mean())
        return found


@dataclass(frozen=True)
class Plan:
    """How far a run goes: `steps`, tried `every` so many, with pictures only at each `draw`th step
    and the last one (0: never); see `Try` for the others."""

    steps: int
    every: int = 25
    draw: int = 150
    held: int = 12
    drawn: int = 24

    def draws(self, step: int) -> bool:
        """Whether pictures are drawn at a step."""
        return bool(self.draw) and (step % self.draw == 0 or step == self.steps)

    def trial(self, world: World, base: Base) -> Try:
        """The measure on the held-out rows."""
        rows = held_out_rows(world, max(self.held, self.drawn))
        return Try(world, base, rows, self.held, self.drawn)


def line_base(world: World) -> Base:
    """The demo's base with its encoders, in fp32, drawn with the work folder's own U-Net."""
    found = load_base(BASE)
    return replace(found, unet=world.unet)


def learn(world: World, base: Base, run: Run, plan: Plan) -> list[Validation]:
    """The tries of `run`, at least up to `plan.steps`; what is not made yet is made now."""
    folder = folder_of(world, run)
    there = tries(world, run)
    if there and there[-1].step >= plan.steps:
        return there
    settings = replace(
        LEARNING,
        steps=plan.steps,
        rate=LEARNING.rate * run.rate,
        new_rate=LEARNING.new_rate * run.rate,
        seed=run.seed,
        log_every=plan.every,
        save_every=plan.every,
        validate_every=plan.every,
        keep=1,
    )
    trial = plan.trial(world, base)
    network = plain_attention(control_net_from(base.unet, run.net, run.seed))
    spent = {one.step: one.figures[CPU] for one in there}
    clock = _Clock(max(spent.values(), default=0.0))

    def validate(step: int, network: Any) -> Validation:
        with clock.stopped():
            figures = trial.figures(network.eval(), plan.draws(step))
            network.train()
        return Validation(step, {**figures, CPU: clock.seconds})

    about = {"name": run.name, **asdict(run.net)}
    batches = training_rows(world, run.rows).batches(world)
    going_on = (folder / "checkpoints").exists()
    clock.begin()
    for event in train_control_net(
        base, network, batches, settings, folder, about, going_on, validate
    ):
        if isinstance(event, Validation):
            print(f"{run.name}: step {event.step}, {event.figures}", flush=True)
        elif isinstance(event, Trained) and event.stopped:
            raise KeyboardInterrupt
    return tries(world, run)


def folder_of(world: World, run: Run) -> Path:
    """Where a run is kept."""
    return world.work / "lines" / run.name


def tries(world: World, run: Run) -> list[Validation]:
    """What is known of a run."""
    return read_curve(folder_of(world, run) / "curve.jsonl")[1]


def network_of(world: World, run: Run) -> Any:
    """The network of a run's newest checkpoint, locked."""
    *_, last = sorted((folder_of(world, run) / "checkpoints").glob(f"step-*/{NETWORK}"))
    found = plain_attention(load_network(last))
    return found.requires_grad_(False).eval()


def cpu_minutes(runs: Iterable[Sequence[Validation]]) -> float:
    """What the training of runs took together, without the tries."""
    return round(sum(run[-1].figures[CPU] for run in runs if run) / 60, 1)


def main() -> None:
    """Train one run; several at once are several of these commands."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("output/paper"))
    parser.add_argument("--kind", default="controlnet")
    for name, value in (("seed", 1), ("rows", 1000), ("steps", 300), ("every", 25), ("draw", 150)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = World(options.work, 0)
    run = Run(options.kind, options.seed, options.rows, options.rate)
    learn(world, line_base(world), run, Plan(options.steps, options.every, options.draw))


class _Clock:
    """CPU seconds of this process but for those while it is stopped."""

    def __init__(self, before: float) -> None:
        self._sum, self._since = before, time.process_time()

    @property
    def seconds(self) -> float:
        """Up to now."""
        return round(self._sum, 2)

    def begin(self) -> None:
        """Count from now on."""
        self._since = time.process_time()

    def stopped(self) -> _Clock:
        """While one is in it, nothing is counted."""
        return self

    def __enter__(self) -> None:
        self._sum += time.process_time() - self._since

    def __exit__(self, *_: object) -> None:
        self.begin()


if __name__ == "__main__":
    main()
