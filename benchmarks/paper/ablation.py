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

from .measures import Values, difference, fidelity, figure, figures
from .networks import NET, TRAINING, Found, Trial, scene_batches, trained
from .plots import bars, contact_sheet, curves
from .plots import figure as page
from .quality import judge
from .results import arguments, write
from .sampling import Control, Sampling, sample
from .wordings import NAMES, prompts
from .world import World, held_out

KINDS = ("controlnet", "gaussian", "lite")
SHOWN = 4
TRIED = 16


def main() -> None:
    """Train, measure, and write ablation.json, ablation.png and ablation.jpg."""
    options = arguments(
        __doc__ or "", pictures=64, steps=10, train_steps=400, validate_every=50, seed=61
    )
    world = World(options.work, options.scenes)
    nets = {kind: network(world, kind, options) for kind in KINDS}
    jury = judge(world, options.judge_steps, options.reference)
    tasks = held_out(options.pictures)
    scenes = [task.scene for task in tasks]
    hints = np.stack([task.hints["canny"] for task in tasks])
    rows, values, shown = [], {}, {"hint": hints[:SHOWN]}
    for setting, words in prompts(tasks).items():
        for kind, found in nets.items():
            pictures = sample(
                world,
                words,
                [task.seed for task in tasks],
                [Control(found.network, hints)],
                Sampling(options.steps),
            )
            measured = fidelity(pictures, tasks)
            values[setting, kind] = measured
            row: dict[str, Any] = {"network": kind, "prompt": setting, **figures(measured)}
            if setting != "perfect":
                row.pop("colours")
            row["distance"] = jury.distance(pictures)
            row["hint's things seen"] = figure(jury.sees_things(pictures, scenes))
            rows.append(row)
            shown[f"{kind}\n{setting} prompt"] = pictures[:SHOWN]
            print(row, flush=True)
    curve = {kind: found.curve for kind, found in nets.items()}
    write(
        options.out / "ablation.json",
        options,
        rows,
        differences=_differences(values),
        curves=curve,
        parameters={k: sum(p.numel() for p in f.network.parameters()) for k, f in nets.items()},
    )
    contact_sheet(options.out / "ablation.jpg", shown)
    plot(rows, curve, options.out)


def network(world: World, kind: str, options: Any, rows: int | None = None) -> Found:
    """A network of a kind, trained on canny edges of the first `rows` scenes (default: all)."""
    rows = rows or options.scenes
    settings = replace(
        TRAINING,
        steps=options.train_steps,
        validate_every=options.validate_every,
        seed=options.seed,
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
        axes[0].set_ylim(0, 1.05)
        axes[0].legend()
        axes[1].set_ylabel("kernel distance from scenes (lower is better)")
        curves(axes[2], curve, "step", f"edge F1, {TRIED} pictures, perfect prompt")


if __name__ == "__main__":
    main()
