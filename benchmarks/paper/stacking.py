"""One control beside two: hints of the same scene, and hints that each know a part of it.

The paper's section 4.2 and Figure 6 compose conditions by adding their outputs, without weights.
Here are pose + depth and canny + depth of one scene, and a composition in which the pose knows the
person alone and the depth map the solids alone.

Run: python -m benchmarks.paper.stacking
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controlstack.demo.scenes_draw import draw_scene
from controlstack.demo.score import Task, hints
from controlstack.evaluation.edges import widened
from controlstack.evaluation.silhouette import saturated, silhouette_iou

from .measures import Values, difference, fidelity, figure, figures
from .plots import bars, contact_sheet, legend
from .plots import figure as page
from .quality import Judge, judge
from .results import arguments, write
from .sampling import Control, Pictures, Sampling, sample
from .world import World, held_out, shipped

STACKS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "people": (("pose",), ("depth",), ("pose", "depth")),
    "all": (("canny",), ("depth",), ("canny", "depth")),
    "parts": (("pose",), ("depth",), ("pose", "depth")),
}
"""Scenes -> the stacks that are compared on them: the two alone, then both."""
SOLIDS = "solids IoU"
PERSON = ("shirt", "trousers", "skin", "hair", "shoes")
NEAR = 4
"""Pixels around a person that count as theirs."""
SHOWN = 5


def main() -> None:
    """Measure, and write stacking.json, stacking.png and stacking.jpg."""
    options = arguments(__doc__ or "", pictures=64, steps=10)
    world = World(options.work, options.scenes)
    jury, how = judge(world, options.judge_steps, options.reference), Sampling(options.steps)
    nets = {kind: shipped(kind) for kind in ("canny", "depth", "pose")}
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for name, stacks in STACKS.items():
        tasks = held_out(options.pictures, None if name == "all" else True)
        if name == "parts":
            tasks = [_apart(task) for task in tasks if task.scene.solids]
        drawn = {stack: _drawn(world, nets, stack, tasks, how) for stack in stacks}
        values = {stack: _values(pictures, tasks) for stack, pictures in drawn.items()}
        rows += [_row(name, stack, drawn[stack], values[stack], jury) for stack in stacks]
        *single, both = stacks
        differences += [
            {
                "scenes": name,
                "of": " + ".join(both),
                "less": " + ".join(one),
                **_less(values, both, one),
            }
            for one in single
        ]
        if name == "parts":
            _show(tasks, drawn, options.out)
    write(options.out / "stacking.json", options, rows, differences=differences)
    plot(rows, options.out)


def _apart(task: Task) -> Task:
    """The task with a depth map of its solids alone, and its own pose, which is the person's."""
    solids = replace(task.scene, person=None)
    depth = hints(solids, draw_scene(solids))["depth"]
    return replace(task, hints={"pose": task.hints["pose"], "depth": depth})


def _drawn(
    world: World,
    nets: Mapping[str, Any],
    stack: Sequence[str],
    tasks: Sequence[Task],
    how: Sampling,
) -> Pictures:
    controls = [Control(nets[kind], np.stack([t.hints[kind] for t in tasks])) for kind in stack]
    print(" + ".join(stack), flush=True)
    return sample(world, [t.prompt for t in tasks], [t.seed for t in tasks], controls, how)


def _values(pictures: Pictures, tasks: Sequence[Task]) -> dict[str, Values]:
    found = fidelity(pictures, tasks)
    pairs = zip(pictures, tasks, strict=True)
    found[SOLIDS] = np.array([_solids_iou(picture, task) for picture, task in pairs])
    return found


def _solids_iou(picture: Any, task: Task) -> float:
    """The silhouette's IoU away from the person; NaN where there are no solids or no person."""
    if not task.scene.solids or task.scene.person is None:
        return float("nan")
    parts = task.drawing.parts
    person = np.any([parts[name] for name in PERSON if name in parts], axis=0)
    away = ~widened(person, NEAR)
    return silhouette_iou(saturated(picture) & away, saturated(task.drawing.rgb) & away)


def _row(
    name: str, stack: Sequence[str], pictures: Pictures, values: Mapping[str, Values], jury: Judge
) -> dict[str, Any]:
    row = {"scenes": name, "stack": " + ".join(stack), **figures(values)}
    return {**row, "distance": jury.distance(pictures), "both kept": _both(values)}


def _both(values: Mapping[str, Values]) -> dict[str, float | int]:
    """The share of pictures with four in five joints right and a solids IoU of at least 0.5."""
    known = ~np.isnan(values[SOLIDS]) & ~np.isnan(values["joints"])
    kept = (values["joints"][known] >= 0.8) & (values[SOLIDS][known] >= 0.5)
    return figure(kept.astype(np.float64))


def _less(values: Mapping[Any, Mapping[str, Values]], one: Any, other: Any) -> dict[str, Any]:
    names = ("edge F1", "silhouette IoU", "joints", "colours", SOLIDS)
    return {name: difference(values[one][name], values[other][name]) for name in names}


def _show(tasks: Sequence[Task], drawn: Mapping[Any, Pictures], out: Path) -> None:
    shown = {
        "pose of\nthe person": np.stack([task.hints["pose"] for task in tasks]),
        "depth of\nthe solids": np.stack([task.hints["depth"] for task in tasks]),
        **{" + ".join(stack): pictures for stack, pictures in drawn.items()},
        "scene": np.stack([task.drawing.rgb for task in tasks]),
    }
    contact_sheet(out / "stacking.jpg", {name: p[:SHOWN] for name, p in shown.items()})


def plot(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The bars of stacking.png."""
    titles = {
        "people": "Hints of one scene: people",
        "all": "Hints of one scene: all",
        "parts": "Pose of the person, depth of the solids",
    }
    with page(out / "stacking.png", len(titles)) as axes:
        for panel, (name, title) in zip(axes, titles.items(), strict=True):
            here = [row for row in rows if row["scenes"] == name]
            measures = ("edge F1", "silhouette IoU", "joints")
            if name == "parts":
                measures = ("joints", SOLIDS, "both kept")
            series = {row["stack"]: [row[m] for m in measures] for row in here}
            bars(panel, measures, series, "mean over pictures" if name == "people" else "")
            panel.set_title(title, fontsize=10)
            legend(panel)


if __name__ == "__main__":
    main()
