"""How suddenly does a ControlNet begin to follow its hint?

The paper's Figure 4: after some thousand steps control is there all at once. Here a depth net is
tried every few steps, without averaged weights; the hint encoder starts as usual (no gain).

Run: python -m benchmarks.paper.convergence
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .networks import NET, TRAINING, Curve, Trial, scene_batches, trained
from .plots import curves
from .plots import figure as page
from .results import arguments, write
from .sampling import Sampling
from .world import World, held_out

RATES = {"demo's rates (1e-3, 3e-3)": (1e-3, 3e-3), "a third (3e-4, 1e-3)": (3e-4, 1e-3)}
"""(copied weights, new weights)."""


def main() -> None:
    """Train, and write convergence.json and convergence.png."""
    options = arguments(
        __doc__ or "", pictures=16, steps=10, train_steps=450, validate_every=20, seed=81, runs=2
    )
    world = World(options.work, options.scenes)
    batches = scene_batches(world, "depth", options.scenes)
    trial = Trial(held_out(options.pictures), "depth", Sampling(options.steps))
    rows = []
    for name, (rate, new_rate) in list(RATES.items())[: options.runs]:
        settings = replace(
            TRAINING,
            steps=options.train_steps,
            rate=rate,
            new_rate=new_rate,
            schedule="constant_with_warmup",
            ema=0.0,
            log_every=options.validate_every,
            validate_every=options.validate_every,
            seed=options.seed,
        )
        net = replace(NET, hint_gain=1.0)
        found = trained(world, f"depth-{rate:g}", batches, settings, net, trial=trial)
        losses = {"curve": found.curve, "losses": found.losses}
        rows.append({"rates": name, **rise(found.curve), **losses})
        print(rows[-1], flush=True)
    write(options.out / "convergence.json", options, rows)
    plot(rows, options.out)


def rise(curve: Curve) -> dict[str, Any]:
    """When the figure of a curve rose: the steps at which a quarter, a half and three quarters of
    the way from its first value to its highest were passed for the first time, and how much of it
    the steepest two neighbouring intervals took.
    """
    steps, values = zip(*curve, strict=True)
    low, high = values[0], max(values)
    passed = {
        f"{share:.0%} at step": next(s for s, v in curve if v >= low + share * (high - low))
        for share in (0.25, 0.5, 0.75)
    }
    jumps = [later - now for now, later in zip(values, values[2:], strict=False)]
    steepest = max(range(len(jumps)), key=jumps.__getitem__)
    return {
        "first": low,
        "highest": high,
        **passed,
        "steepest": [steps[steepest], steps[steepest + 2]],
        "its share": round(jumps[steepest] / (high - low), 3) if high > low else 0.0,
    }


def plot(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The curves of convergence.png."""
    with page(out / "convergence.png", 2, 5.4) as axes:
        curves(axes[0], {row["rates"]: row["curve"] for row in rows}, "step", "edge F1")
        curves(axes[1], {row["rates"]: row["losses"] for row in rows}, "step", "training loss")
        axes[0].set_ylim(0, 1)
        axes[1].set_ylim(bottom=0)
        axes[0].legend(title="rates of copied and new weights")


if __name__ == "__main__":
    main()
