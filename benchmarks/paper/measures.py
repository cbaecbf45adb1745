"""What is measured in a picture, with the spread of every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from controlstack.demo.scenes import COLOURS
from controlstack.demo.score import MIN_PART, READER, Task, named_colours
from controlstack.evaluation.colour import colour_accuracy
from controlstack.evaluation.edges import edge_f1
from controlstack.evaluation.joint_reader import JointReader, load_reader, read_joints
from controlstack.evaluation.joints import body_size, pck
from controlstack.evaluation.silhouette import saturated, silhouette_iou
from controlstack.preprocessors.canny import canny

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
    truth, person = task.drawing, task.scene.person
    joints = float("nan")
    if person is not None:
        wanted = np.array(person.joints, np.float32)
        joints = pck(read_joints(reader, picture), wanted, 0.1 * body_size(wanted))
    parts = {name: mask for name, mask in truth.parts.items() if mask.sum() >= MIN_PART}
    right, asked = colour_accuracy(picture, parts, named_colours(task.scene), names)
    return (
        edge_f1(edges(picture), edges(truth.rgb)),
        silhouette_iou(saturated(picture), saturated(truth.rgb)),
        joints,
        right / asked if asked else float("nan"),
    )


def edges(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Canny's edges (h, w), the demo's thresholds."""
    return np.asarray(canny(rgb)[..., 0] > 0)


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
