"""The training curves of all stages: one JSON file and one picture, from the lines a run left."""

from __future__ import annotations

import json
from pathlib import Path

STAGES = ("base", "decoder", "reader", "canny", "depth", "pose")
Point = dict[str, float]


def read_curves(work: Path) -> dict[str, list[Point]]:
    """Stage -> its points (step, loss, images_per_second, elapsed, left), where it ran."""
    curves: dict[str, list[Point]] = {}
    for stage in STAGES:
        lines = work / f"{stage}-curve.jsonl"
        if lines.exists():
            curves[stage] = [json.loads(line) for line in lines.read_text().splitlines()]
    return curves


def write_curves(curves: dict[str, list[Point]], folder: Path) -> None:
    """Write `training-curve.json` and `training-curve.png` to `folder`: loss over minutes."""
    from matplotlib.figure import Figure

    (folder / "training-curve.json").write_text(json.dumps(_compact(curves)) + "\n")
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    noise, others = figure.subplots(1, 2)
    for stage, points in curves.items():
        axes = others if stage in ("decoder", "reader") else noise
        minutes = [point["elapsed"] / 60 for point in points]
        axes.plot(minutes, [point["loss"] for point in points], label=stage, linewidth=1.2)
    noise.set_title("Noise prediction: base and ControlNets")
    others.set_title("VAE decoder and joint reader")
    for axes in (noise, others):
        axes.set_yscale("log")
        axes.set_xlabel("minutes of the stage")
        axes.set_ylabel("loss")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(folder / "training-curve.png", dpi=110)


def _compact(curves: dict[str, list[Point]]) -> dict[str, list[list[float]]]:
    """[step, loss, seconds] of each point."""
    return {
        stage: [[p["step"], round(p["loss"], 5), round(p["elapsed"], 1)] for p in points]
        for stage, points in curves.items()
    }
