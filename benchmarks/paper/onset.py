"""When does a net begin to use its hint, at several rates and seeds, with and without zero
convolutions?

`convergence.py` shows one net, in its pictures. Here the gain
(`training/gain.py`: the share of the base's loss that a net takes away on pictures it has not seen)
is measured every few steps while it learns the line of `lines.py`.

Run: python -m benchmarks.paper.onset
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from controlstack.training.base import Base
from controlstack.training.gain import COME, OWN_WINS

from .line_nets import CPU, Plan, Run, learn, line_base
from .networks import Curve
from .plots import COLOURS
from .plots import figure as page
from .results import arguments, write
from .world import World

RATES = {"1e-3, 3e-3": 1.0, "3e-4, 1e-3": 1 / 3}
"""The demo's rates of copied and new weights, and a third of them: what they are multiplied by."""
SAID = ("net", "rates", "seed", "came at step", "highest gain", OWN_WINS, "steps")
LOWEST = -0.15
"""Of the plot: without zero convolutions a net begins far below, where no other is."""
Asked: TypeAlias = tuple[str, str, int]
"""A run's kind of net, its rates and its seed."""


def main() -> None:
    """Train what is missing, and write onset.json and onset.png after each net."""
    options = arguments(
        __doc__ or "",
        train_steps=300,
        every=25,
        rows=1000,
        drawn=24,
        runs=3,
        others=1,
        others_steps=500,
    )
    world = World(options.work, options.scenes)
    base = line_base(world)
    plan = Plan(options.train_steps, options.every, options.train_steps // 2, drawn=options.drawn)
    file = options.out / "onset.json"
    told = earlier(file, options.rows)
    table: list[dict[str, Any]] = []
    for place, asked in enumerate(_asked(options.runs, options.others)):
        steps = options.train_steps if place < 2 * options.runs else options.others_steps
        row = told.get(asked)
        if row is None or row["steps"] < steps:
            row = _trained(world, base, replace(plan, steps=steps), asked, options.rows)
        table.append(row)
        print({name: table[-1][name] for name in SAID}, flush=True)
        minutes = round(sum(row[CPU] for row in table) / 60, 1)
        write(file, options, table, cpu_minutes=minutes)
    plot(table, options.out)


def _trained(world: World, base: Base, plan: Plan, asked: Asked, rows: int) -> dict[str, Any]:
    """The row of one run on so many `rows` of data."""
    kind, rates, seed = asked
    tries = learn(world, base, Run(kind, seed, rows, RATES[rates]), plan)
    curve = [(one.step, round(one.gain, 4)) for one in tries]
    wins = [(one.step, round(one.figures[OWN_WINS], 3)) for one in tries]
    return {
        **{"net": kind, "rates": rates, "seed": seed, **came(curve)},
        "highest gain": max(gain for _, gain in curve),
        OWN_WINS: wins[-1][1],
        "steps": tries[-1].step,
        **{CPU: tries[-1].figures[CPU], "curve": curve, "wins": wins},
    }


def earlier(file: Path, rows: int) -> dict[Asked, dict[str, Any]]:
    """What `file` says of runs on so many `rows` of data. It is kept, since a run takes minutes;
    another --out begins anew.
    """
    found = json.loads(file.read_text()) if file.exists() else {"rows": []}
    if found["rows"] and found["options"]["rows"] != rows:
        return {}
    return {(row["net"], row["rates"], row["seed"]): row for row in found["rows"]}


def _asked(runs: int, others: int) -> list[Asked]:
    """What `meaning.py` trains, with most seeds, and then the others."""
    full, third = RATES
    most = [(kind, full, seed) for kind in ("controlnet", "lite") for seed in range(1, runs + 1)]
    rest = (("gaussian", full), ("controlnet", third), ("gaussian", third))
    return most + [(kind, rates, seed) for kind, rates in rest for seed in range(1, others + 1)]


def came(curve: Curve) -> dict[str, Any]:
    """The first try from which on the gain stays over `COME`; "never" where there is none."""
    late = [step for step, gain in curve if gain <= COME]
    after = [step for step, _ in curve if not late or step > late[-1]]
    return {"came at step": after[0] if after else "never"}


def plot(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The curves of onset.png: gain, and how often the own hint wins."""
    kinds = list(dict.fromkeys((row["net"], row["rates"]) for row in rows))
    with page(out / "onset.png", 2, 5.4) as axes:
        for panel, name, label in zip(
            axes, ("curve", "wins"), ("gain on unseen rows", "own hint wins"), strict=True
        ):
            for row in rows:
                which = kinds.index((row["net"], row["rates"]))
                xs, ys = zip(*row[name], strict=True)
                told = f"{row['net']}, {row['rates']}" if row["seed"] == 1 else None
                panel.plot(xs, ys, color=COLOURS[which], marker="o", markersize=3, label=told)
            panel.set_xlabel("step")
            panel.set_ylabel(label)
            panel.grid(alpha=0.3)
        low = min(gain for row in rows for _, gain in row["curve"])
        axes[0].set_ylim(bottom=max(low, LOWEST) - 0.005)
        axes[1].axhline(0.5, color="grey", linewidth=0.8)
        axes[0].legend(title="net, rates", fontsize=8, loc="upper left")


if __name__ == "__main__":
    main()
