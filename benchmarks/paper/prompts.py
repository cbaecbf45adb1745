"""The shipped ControlNets with no, an insufficient, a conflicting and a perfect prompt.

The paper's four settings (section 4.3, Figure 8), there of one sketch, here of every hint; "none"
also with the resolution weighting of section 3.4, which is the paper's remedy for empty prompts.

Run: python -m benchmarks.paper.prompts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from controlstack.demo.score import Task

from .measures import fidelity, figure, figures
from .plots import bars, contact_sheet, legend
from .plots import figure as page
from .quality import Judge, judge
from .results import arguments, write
from .sampling import Control, Pictures, Sampling, sample
from .wordings import NAMES, conflicting, prompts
from .world import World, held_out, shipped

KINDS = ("canny", "depth", "pose")
WEIGHTED = "none, weighted"
SETTINGS = (NAMES[0], WEIGHTED, *NAMES[1:])
SHOWN = 6


def main() -> None:
    """Measure, and write prompts.json, prompts.png and prompts.jpg."""
    options = arguments(__doc__ or "", pictures=64, steps=10)
    world = World(options.work, options.scenes)
    jury, how = judge(world, options.judge_steps, options.reference), Sampling(options.steps)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        tasks = held_out(options.pictures, True if kind == "pose" else None)
        drawn = _drawn(world, kind, tasks, how)
        rows += [
            {"hint": kind, "prompt": setting, **_measured(pictures, tasks, kind, setting, jury)}
            for setting, pictures in drawn.items()
        ]
        if kind == "canny":
            hints = np.stack([task.hints[kind] for task in tasks])
            shown = {"hint": hints, **drawn, "scene": np.stack([t.drawing.rgb for t in tasks])}
            contact_sheet(
                options.out / "prompts.jpg", {name: p[:SHOWN] for name, p in shown.items()}
            )
    write(options.out / "prompts.json", options, rows)
    plot(rows, options.out)


def _drawn(world: World, kind: str, tasks: Sequence[Task], how: Sampling) -> dict[str, Pictures]:
    network, hints = shipped(kind), np.stack([task.hints[kind] for task in tasks])
    wordings = prompts(tasks)
    drawn = {}
    for setting in SETTINGS:
        words = wordings["none" if setting == WEIGHTED else setting]
        control = Control(network, hints, weighted=setting == WEIGHTED)
        drawn[setting] = sample(world, words, [task.seed for task in tasks], [control], how)
        print(kind, setting, flush=True)
    return drawn


def _measured(
    pictures: Pictures, tasks: Sequence[Task], kind: str, setting: str, jury: Judge
) -> dict[str, Any]:
    """Fidelity to the hint, the kernel distance, and which things are seen: the hint's (a pose has
    the person alone), and where the prompt names others, those.
    """
    found: dict[str, Any] = figures(fidelity(pictures, tasks))
    if setting != "perfect":
        found.pop("colours")  # nobody said which
    if kind != "pose":  # the reference scenes are not all of people
        found["distance"] = jury.distance(pictures)
    shown = [replace(t.scene, solids=()) if kind == "pose" else t.scene for t in tasks]
    found["hint's things seen"] = figure(jury.sees_things(pictures, shown))
    if setting == "conflicting":
        named = [task.scene for task in conflicting(tasks)]
        found["prompt's things seen"] = figure(jury.sees_things(pictures, named))
    return found


def plot(rows: Sequence[dict[str, Any]], out: Any) -> None:
    """The bars of prompts.png."""
    shown = {"edge F1": "edge F1", "hint's things seen": "share of the hint's things seen"}
    with page(out / "prompts.png", 2, 5.6) as axes:
        for panel, (name, label) in zip(axes, shown.items(), strict=True):
            series = {kind: [row[name] for row in rows if row["hint"] == kind] for kind in KINDS}
            bars(panel, [s.replace(", ", ",\n") for s in SETTINGS], series, label)
            panel.set_xlabel("prompt")
            legend(panel)


if __name__ == "__main__":
    main()
