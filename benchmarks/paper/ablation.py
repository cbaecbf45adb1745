"""ControlNet beside its two ablations: ordinary convolutions for zero ones, and no copied backbone.

The paper's section 4.3 and Figure 8, with its four prompt settings; what its Tables 1 to 3 say of
ControlNet and ControlNet-lite is the measure. All three learn canny edges on the same pictures,
noise and order.

Run: python -m benchmarks.paper.ablation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controlstack.demo.score import Task

from .measures import Values, difference, fidelity, figure, figures
from .networks import NET, TRAINING, Found, Trial, scene_batches, trained
from .plots import bars, contact_sheet, curves, legend, one_by_one
from .plots import figure as page
from .quality import Judge, judge
from .results import arguments, write
from .sampling import Control, Pictures, Sampling, sample
from .wordings import NAMES, prompts
from .world import World, held_out

KINDS = ("controlnet", "gaussian", "lite")
SHOWN = 4
TRIED = 16
RANKED = "perfect"
"""The prompts of the pictures that are kept one by one in the work folder, for people to rank."""


def main() -> None:
    """Train, measure, and write ablation.json, ablation.png and ablation.jpg."""
    options = arguments(
        __doc__ or "", pictures=64, steps=10, train_steps=400, validate_every=50, seed=61, runs=2
    )
    world = World(options.work, options.scenes)
    seeds = range(options.seed, options.seed + options.runs)
    nets = {kind: [network(world, kind, options, seed) for seed in seeds] for kind in KINDS}
    jury = judge(world, options.judge_steps, options.reference)
    tasks, how = held_out(options.pictures), Sampling(options.steps)
    hints = np.stack([task.hints["canny"] for task in tasks])
    rows, values, shown = [], {}, {"hint": hints[:SHOWN]}
    for setting, words in prompts(tasks).items():
        for kind, runs in nets.items():
            drawn = [
                sample(world, words, [t.seed for t in tasks], [Control(run.network, hints)], how)
                for run in runs
            ]
            row, values[setting, kind] = _measured(drawn, tasks, jury)
            if setting != "perfect":
                row.pop("colours")  # nobody said which
            rows.append({"network": kind, "prompt": setting, **row})
            shown[f"{kind}\n{setting} prompt"] = drawn[0][:SHOWN]
            if setting == RANKED:
                one_by_one(options.work / "study" / kind, drawn[0])
            print(rows[-1], flush=True)
    curve = {
        f"{kind}, seed {seed}": run.curve
        for kind, runs in nets.items()
        for seed, run in zip(seeds, runs, strict=True)
    }
    write(
        options.out / "ablation.json",
        options,
        rows,
        differences=_differences(values),
        curves=curve,
        beside=_beside(world, tasks, jury, how),
        parameters={
            kind: sum(p.numel() for p in runs[0].network.parameters())
            for kind, runs in nets.items()
        },
    )
    one_by_one(options.work / "study" / "hints", hints)
    contact_sheet(options.out / "ablation.jpg", shown)
    plot(rows, curve, options.out)


def _measured(
    drawn: Sequence[Pictures], tasks: Sequence[Task], jury: Judge
) -> tuple[dict[str, Any], dict[str, Values]]:
    """(Figures over the pictures of all runs, and each picture's values)."""
    each = [fidelity(pictures, tasks) for pictures in drawn]
    values = {name: np.concatenate([one[name] for one in each]) for name in each[0]}
    together, scenes = np.concatenate(drawn), [task.scene for task in tasks] * len(drawn)
    row = {
        **figures(values),
        "edge F1 by run": [figure(one["edge F1"])["mean"] for one in each],
        "distance": jury.distance(together),
        "hint's things seen": figure(jury.sees_things(together, scenes)),
    }
    return row, values


def _beside(
    world: World, tasks: Sequence[Task], jury: Judge, how: Sampling
) -> dict[str, dict[str, Any]]:
    """What the judge says of the scenes themselves, and of the base without control."""
    alone = sample(world, [task.prompt for task in tasks], [task.seed for task in tasks], how=how)
    pictures = {"scenes": np.stack([t.drawing.rgb for t in tasks]), "base alone": alone}
    scenes = [task.scene for task in tasks]
    return {
        name: {
            "distance": jury.distance(these),
            "things and colours seen": figure(jury.sees(these, scenes)),
        }
        for name, these in pictures.items()
    }


def network(world: World, kind: str, options: Any, seed: int, rows: int | None = None) -> Found:
    """A network of a kind, trained on canny edges of the first `rows` scenes (default: all)."""
    rows = rows or options.scenes
    settings = replace(
        TRAINING,
        steps=options.train_steps,
        validate_every=options.validate_every,
        seed=seed,
    )
    trial = Trial(held_out(min(TRIED, options.pictures)), "canny", Sampling(min(10, options.steps)))
    batches = scene_batches(world, "canny", rows)
    return trained(
        world, f"canny-{kind}-{rows}", batches, settings, replace(NET, kind=kind), trial=trial
    )


def _differences(values: Mapping[tuple[str, str], Mapping[str, Values]]) -> list[dict[str, Any]]:
    """ControlNet less each ablation, over the same scenes and noise."""
    return [
        {
            "prompt": setting,
            "less": kind,
            **{
                name: difference(values[setting, "controlnet"][name], values[setting, kind][name])
                for name in ("edge F1", "silhouette IoU", "joints")
            },
        }
        for setting in NAMES
        for kind in KINDS[1:]
    ]


def plot(rows: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], out: Path) -> None:
    """The bars and curves of ablation.png."""
    with page(out / "ablation.png", 3) as axes:
        for panel, name in zip(axes, ("edge F1", "distance"), strict=False):
            series = {k: [row[name] for row in rows if row["network"] == k] for k in KINDS}
            bars(panel, NAMES, series, name)
            panel.set_xlabel("prompt")
        legend(axes[0])
        axes[1].set_ylabel("kernel distance from scenes (lower is better)")
        first = dict(list(curve.items())[:: max(1, len(curve) // len(KINDS))])
        curves(axes[2], first, "step", f"edge F1, {TRIED} pictures, perfect prompt")


if __name__ == "__main__":
    main()
