"""Draws the pictures of the factor nodes' help pages: what each makes of a control's strength.

They are asked of the factors themselves. Draw them again after a change of one with:
python -m tools.help_curves
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import controlstack
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.schedules import schedule
from controlstack.model_patch.call import Row
from controlstack.model_patch.curve import BETWEEN, PRESETS, Curve
from controlstack.model_patch.factors import Factor, Sides, StepSpan
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.mask import edged
from controlstack.model_patch.residuals import Residuals
from controlstack.model_patch.schedule import Schedule
from controlstack.nodes.factors_within import RULES

IMAGES = Path(controlstack.__file__).parent / controlstack.WEB_DIRECTORY / "docs" / "images"
STEPS = 20
FILL, LINE = "#93c5fd", "#1d4ed8"


def main() -> None:
    """Draw them all."""
    drawn = {
        "factor_steps": _over_steps([("steps 0 to 7 of 20", StepSpan(0, 7))]),
        "factor_curve": _over_steps([(name, Curve(points)) for name, points in PRESETS.items()]),
        "factor_between": _over_steps(
            [(name, Curve(((4, 0.2), (16, 1.0)), name, "steps")) for name in BETWEEN]
        ),
        "factor_frames": _bars(
            "picture of the batch",
            {"0:1, 8:0": _of_rows(FrameStrengths(((0, 1.0), (8, 0.0)), "linear"), 10)},
        ),
        "factor_sides": _bars("", {"cond 1, uncond 0.3": _of_sides(Sides(1.0, 0.3))}),
        "factor_blocks": _bars(
            "SD 1.5, fine to deep",
            {name: _of_blocks(rule) for name, rule in RULES.items()},
        ),
        "factor_mask": _masks(),
    }
    for name, figure in drawn.items():
        path = IMAGES / f"{name}.jpg"
        figure.savefig(path, dpi=80, pil_kwargs={"quality": 60})
        print(path)


def _figure(columns: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(1.0 + 2.2 * columns, 2.0), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(1, columns))


def _over_steps(curves: Sequence[tuple[str, Factor]]) -> Figure:
    """Strength at each step of a run of the scheduler "normal"."""
    sampling = DiscreteSampling.from_betas()
    run = Schedule(sampling, tuple(schedule("normal", sampling, STEPS, 1.0).tolist()))
    figure, places = _figure(len(curves))
    for axes, (title, factor) in zip(places, curves, strict=True):
        ready = factor.on(run)
        heights = [ready.at(sigma) for sigma in run.sigmas]
        axes.stairs(heights[:-1], range(STEPS + 1), fill=True, color=FILL)
        axes.stairs(heights[:-1], range(STEPS + 1), color=LINE)
        axes.set(title=title, xlabel="step", xlim=(0, STEPS), ylim=(0, 1.1))
    places[0].set_ylabel("strength")
    return figure


def _bars(label: str, rows: dict[str, dict[str, float]]) -> Figure:
    figure, places = _figure(len(rows))
    figure.set_figwidth(1.0 + 3.2 * len(rows))
    for axes, (title, numbers) in zip(places, rows.items(), strict=True):
        axes.bar(list(numbers), list(numbers.values()), color=FILL, edgecolor=LINE)
        axes.set(title=title, xlabel=label)
        if len(numbers) > 10:
            axes.tick_params(axis="x", labelrotation=90, labelsize=7)
        axes.set_ylim(0, 1.1 * max(1.0, *numbers.values()))
    places[0].set_ylabel("strength")
    return figure


def _of_rows(factor: Factor, count: int) -> dict[str, float]:
    return {str(i): factor.of_row(Row(i)) for i in range(count)}


def _of_sides(factor: Factor) -> dict[str, float]:
    return {"prompt": factor.of_row(Row(0, 0)), "negative prompt": factor.of_row(Row(0, 1))}


def _of_blocks(factor: Factor) -> dict[str, float]:
    heights = [64] * 3 + [32] * 3 + [16] * 3 + [8] * 3
    skips = tuple(torch.empty(1, 1, height, height) for height in heights)
    places = Residuals(middle=(torch.empty(1, 1, 8, 8),), output=skips).places()
    return {place.name: factor.of_block(place) for place in places}


def _masks() -> Figure:
    mask = torch.zeros(1, 128, 128)
    mask[:, 40:90, 24:72] = 1.0
    shown = {"mask": (0, 0), "grow 16": (16, 0), "grow -16": (-16, 0), "feather 16": (0, 16)}
    figure, places = _figure(len(shown))
    for axes, (title, edge) in zip(places, shown.items(), strict=True):
        axes.imshow(edged(mask, *edge)[0], cmap="gray", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    main()
