"""What is measured in a picture, with the spread of every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from controlstack.demo.scenes import COLOURS
from controlstack.demo.score import READER, Task, measured
from controlstack.evaluation.joint_reader import JointReader, load_reader

Values = NDArray[np.float64]
Figure = dict[str, float | int]
COLOUR_NAMES: Mapping[str, tuple[int, int, int]] = COLOURS


def fidelity(
    pictures: Sequence[NDArray[np.uint8]],
    of: Sequence[Task],
    names: Mapping[str, tuple[int, int, int]] = COLOUR_NAMES,
) -> dict[str, Values]:
    """Each measure's value for each picture, 0..1, by name; NaN where it does not apply.

    The measures are those of `docs/demo-model.md`: edge F1 (1 pixel), silhouette IoU, joints within
    a tenth of the body, share of the named parts that have their named colour. `names` are the
    colours' RGB.
    """
    reader = load_reader(READER)
    rows = [_row(task, p, reader, names) for task, p in zip(of, pictures, strict=True)]
    columns = np.array(rows, np.float64).T
    return dict(zip(("edge F1", "silhouette IoU", "joints", "colours"), columns, strict=True))


def _row(
    task: Task,
    picture: NDArray[np.uint8],
    reader: JointReader,
    names: Mapping[str, tuple[int, int, int]],
) -> tuple[float, ...]:
    *measures, right, asked = measured(task, picture, reader, names)
    return (*measures, right / asked if asked else float("nan"))


def figure(values: Values) -> Figure:
    """Mean, standard error of the mean, and how many values there were (NaN does not count)."""
    found = values[~np.isnan(values)]
    if not len(found):
        return {"mean": float("nan"), "error": float("nan"), "n": 0}
    spread = float(found.std(ddof=1)) if len(found) > 1 else float("nan")
    return {
        "mean": round(float(found.mean()), 4),
        "error": round(spread / len(found) ** 0.5, 4),
        "n": len(found),
    }


def figures(values: Mapping[str, Values]) -> dict[str, Figure]:
    """`figure` of every measure that applied to a picture."""
    return {name: figure(column) for name, column in values.items() if (~np.isnan(column)).any()}


def difference(one: Values, other: Values) -> Figure:
    """Mean of `one - other` over the same scenes and noise, with its standard error: what two
    rows differ by, free of how hard each scene is.
    """
    return figure(one - other)
