"""ControlNet beside the lite net on a hint that needs meaning, at equal steps and equal CPU time.

The paper's section 4.3 says that the lite net is not strong enough to interpret what a sketch
shows. The hint here is one line from head to foot (`lines.py`).

Run: python -m benchmarks.paper.meaning
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controlstack.training.base import Base
from controlstack.training.events import GAIN, Validation
from controlstack.training.gain import OWN_WINS

from .line_nets import (
    AWAY,
    CPU,
    Plan,
    Run,
    Try,
    cpu_minutes,
    folder_of,
    learn,
    line_base,
    network_of,
)
from .measures import figure
from .plots import COLOURS
from .plots import figure as page
from .results import arguments, write
from .world import World, kept

KINDS = ("controlnet", "lite")
MEASURES = (GAIN, OWN_WINS, AWAY)


def main() -> None:
    """Train what is missing, measure, and write meaning.json and meaning.png."""
    options = arguments(__doc__ or "", train_steps=300, every=25, rows=1000, runs=3, drawn=24)
    world = World(options.work, options.scenes)
    base = line_base(world)
    plan = Plan(options.train_steps, options.every, options.train_steps // 2, drawn=options.drawn)
    trial = plan.trial(world, base)
    found: dict[str, list[list[Validation]]] = {kind: [] for kind in KINDS}
    for seed in range(1, options.runs + 1):
        budget = 0.0
        for kind in KINDS:
            run = Run(kind, seed, options.rows)
            tries = drawn_last(world, run, learn_for(world, base, run, plan, budget), trial)
            budget = between(tries, "step", options.train_steps)[CPU]
            found[kind].append(tries)
        write(
            options.out / "meaning.json",
            options,
            rows(found, options.train_steps),
            curves=curves_of(found),
            cpu_minutes=cpu_minutes(run for runs in found.values() for run in runs),
        )
    plot(curves_of(found), options.out)


def learn_for(world: World, base: Base, run: Run, plan: Plan, seconds: float) -> list[Validation]:
    """The tries of `run` up to `plan.steps`, on until it was trained for so many CPU `seconds`."""
    found = learn(world, base, run, plan)
    while (had := found[-1].figures[CPU]) < seconds:
        wanted = found[-1].step * seconds / max(had, 0.01)
        more = math.ceil(min(wanted, 2 * found[-1].step + 1) / plan.every) * plan.every
        found = learn(world, base, run, replace(plan, steps=more, draw=plan.steps))
    return found


def drawn_last(world: World, run: Run, tries: Sequence[Validation], trial: Try) -> list[Validation]:
    """`tries` whose last one has its pictures, made now where the run was stopped before them."""
    *others, last = tries
    if AWAY not in last.figures:
        away = kept(
            folder_of(world, run) / f"px-{last.step}-{trial.drawn}.pt",
            lambda: float(trial.away(network_of(world, run)).mean()),
        )
        last = Validation(last.step, {**last.figures, AWAY: away})
    return [*others, last]


def rows(found: Mapping[str, Sequence[Sequence[Validation]]], steps: int) -> list[dict[str, Any]]:
    """A row for each net and each way to compare: at `steps`, and lite at the CPU seconds that the
    ControlNet of the same seed had by then."""
    nets = [between(run, "step", steps) for run in found["controlnet"]]
    lite = {
        "steps": [between(run, "step", steps) for run in found["lite"]],
        "CPU time": [
            between(run, CPU, net[CPU]) for run, net in zip(found["lite"], nets, strict=True)
        ],
    }
    table = [("controlnet", "", nets), *(("lite", equal, tried) for equal, tried in lite.items())]
    return [
        {
            "net": kind,
            "equal": equal,
            **{n: figure(np.array([t[n] for t in tried])) for n in ("step", CPU, *MEASURES)},
            "px by seed": [round(one[AWAY], 1) for one in tried],
        }
        for kind, equal, tried in table
    ]


def between(run: Sequence[Validation], axis: str, place: float) -> dict[str, float]:
    """The figures of a run at a `place` of an `axis` (step, CPU seconds), each on the straight line
    between the two nearest tries that have it. Raises ValueError beyond the last try.
    """
    tried = [_flat(one) for one in run]
    if tried[-1][axis] < place:
        raise ValueError(f"the run ended at {axis} {tried[-1][axis]:g}, {place:g} is asked for")
    told = {}
    for name in ("step", CPU, *MEASURES):
        known = [one for one in tried if name in one]
        at = [one[axis] for one in known]
        told[name] = float(np.interp(place, at, [one[name] for one in known]))
    return told


def curves_of(
    found: Mapping[str, Sequence[Sequence[Validation]]],
) -> dict[str, list[dict[str, float]]]:
    """All tries of each run, by a name for it."""
    return {
        f"{kind}, seed {seed}": [
            {name: round(value, 4) for name, value in _flat(one).items()} for one in run
        ]
        for kind, runs in found.items()
        for seed, run in enumerate(runs, 1)
    }


def _flat(one: Validation) -> dict[str, float]:
    return {"step": float(one.step), **one.figures}


def plot(found: Mapping[str, Sequence[Mapping[str, float]]], out: Path) -> None:
    """The curves of meaning.png: over steps, and over CPU seconds."""
    panels = (("step", AWAY), (CPU, AWAY), ("step", GAIN))
    with page(out / "meaning.png", len(panels), 4.8) as axes:
        for panel, (across, name) in zip(axes, panels, strict=True):
            for run, tried in found.items():
                kind, seed = run.split(", ")
                known = [one for one in tried if name in one]
                panel.plot(
                    [one[across] for one in known],
                    [one[name] for one in known],
                    color=COLOURS[KINDS.index(kind)],
                    linestyle=("-", "--", ":", "-.")[(int(seed.split()[1]) - 1) % 4],
                    marker="os"[KINDS.index(kind)],
                    markersize=3.5,
                    linewidth=1.3,
                    label=run,
                )
            panel.set_xlabel(f"{across} of training")
            panel.set_ylabel("head and feet off, px" if name == AWAY else name)
            panel.grid(alpha=0.3)
            if name == AWAY:
                panel.set_ylim(bottom=0)
        axes[2].legend(fontsize=8)


if __name__ == "__main__":
    main()
