"""A net that learns the line of `lines.py` from few and from many rows, for equally many steps, on
rows that it has seen and on rows that it has not.

The paper's section 4.4 and Figure 10 ask how much data is needed.

Run: python -m benchmarks.paper.few_rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controlstack.training.events import GAIN

from .line_nets import (
    AWAY,
    BATCH,
    Plan,
    Run,
    Try,
    cpu_minutes,
    learn,
    line_base,
    network_of,
)
from .lines import held_out_rows, plainly, training_rows
from .measures import Values, figure
from .plots import bars, contact_sheet, curves
from .plots import figure as page
from .results import arguments, write
from .world import World

SIZES = (50, 200, 1000, 10_000)
ENDS = SIZES[0], SIZES[-1]
PARTS = ("seen", "unseen")
SHOWN = 6
"""Held-out rows on the sheet."""


def main() -> None:
    """Train what is missing, measure, and write few_rows.json, .jpg (after each net) and .png."""
    options = arguments(
        __doc__ or "",
        train_steps=1500,
        every=150,
        draw=500,
        smallest=ENDS[0],
        largest=ENDS[1],
        measured=24,
        seed=1,
    )
    world = World(options.work, options.scenes)
    base = line_base(world)
    plan = Plan(options.train_steps, options.every, options.draw, drawn=options.measured)
    unseen = held_out_rows(world, options.measured)
    shown = {"line": unseen.hints[:SHOWN], "its scene": unseen.pictures()[:SHOWN]}
    table, curve, found = [], {}, []
    for size in (size for size in SIZES if options.smallest <= size <= options.largest):
        run = Run("controlnet", options.seed, size)
        tries = learn(world, base, run, plan)
        found.append(tries)
        network = network_of(world, run)
        seen = plainly(training_rows(world, min(size, options.measured)))
        values = {
            part: _measured(Try(world, base, rows, options.measured, options.measured), network)
            for part, rows in zip(PARTS, (seen, unseen), strict=True)
        }
        row: dict[str, Any] = {
            "rows": size,
            "steps": options.train_steps,
            "times each was seen": round(options.train_steps * BATCH / size, 1),
        }
        for name in (GAIN, AWAY):
            for part in PARTS:
                row[f"{name}, {part}"] = figure(values[part][name])
        table.append(row)
        curve[f"{size:,} rows"] = [(one.step, round(one.gain, 4)) for one in tries]
        print(row, flush=True)
        shown[f"{size:,} rows"] = Try(world, base, unseen, 0, SHOWN).pictures(network)
        contact_sheet(options.out / "few_rows.jpg", shown)
        minutes = cpu_minutes(found)
        write(options.out / "few_rows.json", options, table, curves=curve, cpu_minutes=minutes)
    plot(table, curve, options.out)


def _measured(trial: Try, network: Any) -> dict[str, Values]:
    """Of each picture: the share of its loss that the net takes away, and how far it is off."""
    losses = trial.losses(network)
    gains = 1 - losses.own.mean(0) / losses.plain.mean(0)
    return {GAIN: gains.numpy(), AWAY: trial.away(network)}


def plot(rows: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], out: Path) -> None:
    """The bars and curves of few_rows.png."""
    with page(out / "few_rows.png", 3) as axes:
        for panel, name in zip(axes, (GAIN, AWAY), strict=False):
            series = {f"{part} rows": [row[f"{name}, {part}"] for row in rows] for part in PARTS}
            bars(panel, [f"{row['rows']:,}" for row in rows], series, name)
            panel.set_xlabel("rows trained on")
            panel.legend(fontsize=8)
        axes[1].set_ylabel("head and feet off, px")
        curves(axes[2], curve, "step", "gain on unseen rows")
        axes[2].legend(fontsize=8)


if __name__ == "__main__":
    main()
