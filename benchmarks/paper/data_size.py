"""A canny net trained on 100, 1,000 and 10,000 pictures, for equally many steps.

The paper's section 4.4 and Figure 10 ask how much data is needed; here the loss of every size is
the same number of steps on the same noise, so that what differs is how often a picture is seen.

Run: python -m benchmarks.paper.data_size
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .ablation import TRIED, network
from .measures import difference, fidelity, figure, figures
from .plots import bars, contact_sheet, curves, legend
from .plots import figure as page
from .quality import judge
from .results import arguments, write
from .sampling import Control, Sampling, sample
from .world import World, held_out

PROMPTS = ("perfect", "none")
SHOWN = 4


def main() -> None:
    """Train, measure, and write data_size.json, data_size.png and data_size.jpg."""
    options = arguments(
        __doc__ or "", pictures=64, steps=10, train_steps=400, validate_every=50, seed=61
    )
    world = World(options.work, options.scenes)
    sizes = [max(2, options.scenes // 100), max(2, options.scenes // 10), options.scenes]
    nets = {size: network(world, "controlnet", options, options.seed, size) for size in sizes}
    jury = judge(world, options.judge_steps, options.reference)
    tasks = held_out(options.pictures)
    hints = np.stack([task.hints["canny"] for task in tasks])
    rows, values, shown = [], {}, {"hint": hints[:SHOWN]}
    for prompt in PROMPTS:
        words = [task.prompt if prompt == "perfect" else "" for task in tasks]
        for size, found in nets.items():
            control = Control(found.network, hints)
            seeds = [task.seed for task in tasks]
            pictures = sample(world, words, seeds, [control], Sampling(options.steps))
            values[prompt, size] = measured = fidelity(pictures, tasks)
            row: dict[str, Any] = {"pictures": size, "prompt": prompt, **figures(measured)}
            if prompt == "none":
                row.pop("colours")
            row["distance"] = jury.distance(pictures)
            row["hint's things seen"] = figure(
                jury.sees_things(pictures, [task.scene for task in tasks])
            )
            rows.append(row)
            shown[f"{size:,} pictures\n{prompt} prompt"] = pictures[:SHOWN]
            print(row, flush=True)
    differences = [
        {
            "prompt": prompt,
            "of": sizes[-1],
            "less": size,
            **{
                name: difference(values[prompt, sizes[-1]][name], values[prompt, size][name])
                for name in ("edge F1", "silhouette IoU", "joints")
            },
        }
        for prompt in PROMPTS
        for size in sizes[:-1]
    ]
    curve = {f"{size:,} pictures": found.curve for size, found in nets.items()}
    write(options.out / "data_size.json", options, rows, differences=differences, curves=curve)
    contact_sheet(options.out / "data_size.jpg", shown)
    plot(rows, curve, sizes, options.out)


def plot(
    rows: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], sizes: Sequence[int], out: Path
) -> None:
    """The bars and curves of data_size.png."""
    with page(out / "data_size.png", 3) as axes:
        for panel, name in zip(axes, ("edge F1", "silhouette IoU"), strict=False):
            series = {
                f"{p} prompt": [row[name] for row in rows if row["prompt"] == p] for p in PROMPTS
            }
            bars(panel, [f"{size:,}" for size in sizes], series, name)
            panel.set_xlabel("training pictures")
            legend(panel)
        curves(axes[2], curve, "step", f"edge F1, {TRIED} pictures, perfect prompt")
        axes[2].legend()


if __name__ == "__main__":
    main()
