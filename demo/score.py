"""Scores any way of making pictures on the held-out scenes: how well they follow their hints and
their prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..evaluation.colour import colour_accuracy
from ..evaluation.edges import edge_f1
from ..evaluation.joint_reader import JointReader, load_reader, read_joints
from ..evaluation.joints import body_size, pck
from ..evaluation.silhouette import saturated, silhouette_iou
from ..preprocessors.canny import canny
from ..preprocessors.pose.draw import draw_pose
from .captions import caption
from .scenes import COLOURS, HELD_OUT_SEEDS, SIZE, Scene, pose_json, sample_scene
from .scenes_draw import Drawing, draw_scene

Picture = NDArray[np.uint8]

READER = Path(__file__).parent / "weights" / "joint-reader.safetensors"
PLAIN, CANNY, DEPTH, POSE = (), ("canny",), ("depth",), ("pose",)
TABLE: Mapping[str, tuple[bool | None, tuple[tuple[str, ...], ...]]] = {
    "all": (None, (PLAIN, CANNY, DEPTH, CANNY + DEPTH)),
    "people": (True, (PLAIN, POSE, DEPTH, POSE + DEPTH)),
}
"""What is scored: the scenes as they come, and each with a person; with which stacks."""
MIN_PART = 30
"""Pixels of a part that must be visible for its colour to count."""


@dataclass(frozen=True)
class Task:
    """One picture to make: `hints` are uint8 RGB (128, 128, 3) by kind, of which `stack` names
    those to use.
    """

    scene: Scene
    drawing: Drawing
    prompt: str
    seed: int
    hints: Mapping[str, Picture]


@dataclass(frozen=True)
class Score:
    """Means over pictures, 0..1, and how many pictures; `joints` is NaN where nobody is in the
    scenes.
    """

    edge_f1: float
    silhouette_iou: float
    joints: float
    colours: float
    pictures: int


Generate = Callable[[Sequence[Task], tuple[str, ...]], Iterable[Picture]]
"""(tasks, names of the hints to stack) -> one uint8 RGB picture (128, 128, 3) a task, in their
order.
"""


def tasks(person: bool | None, seeds: Sequence[int] = HELD_OUT_SEEDS) -> list[Task]:
    """The held-out scenes as they come (None) or each with a person (True), with the plainest
    caption as the prompt.
    """
    return [_task(seed, person) for seed in seeds]


def _task(seed: int, person: bool | None) -> Task:
    scene = sample_scene(seed, person)
    drawing = draw_scene(scene)
    return Task(scene, drawing, caption(scene), seed, hints(scene, drawing))


def hints(scene: Scene, drawing: Drawing) -> dict[str, Picture]:
    """The scene's own hints, uint8 RGB: `canny`, `depth`, and `pose` where there is a person."""
    found = {"canny": canny(drawing.rgb), "depth": _grey(np.rint(drawing.depth * 255))}
    if scene.person is not None:
        found["pose"] = draw_pose(pose_json(scene.person), SIZE, SIZE)
    return found


def score(
    generate: Generate,
    stack: tuple[str, ...],
    of: Sequence[Task],
    reader: JointReader | None = None,
) -> Score:
    """Make one picture for each task with the `stack` of hints, never the best of many, and take
    the means.
    """
    reader = reader or load_reader(READER)
    rows = [
        measured(task, picture, reader)
        for task, picture in zip(of, generate(of, stack), strict=True)
    ]
    f1, areas, joints, right, asked = np.array(rows, np.float64).T
    people = joints[~np.isnan(joints)]
    return Score(
        float(f1.mean()),
        float(areas.mean()),
        float(people.mean()) if len(people) else float("nan"),
        float(right.sum() / max(asked.sum(), 1)),
        len(rows),
    )


def measured(
    task: Task,
    picture: Picture,
    reader: JointReader,
    colours: Mapping[str, tuple[int, int, int]] = COLOURS,
) -> tuple[float, float, float, int, int]:
    """Edge F1, silhouette IoU, joints (NaN without a person), and how many colours are right and
    how many are asked for; `colours` are the RGB of their names.
    """
    truth, person = task.drawing, task.scene.person
    joints = float("nan")
    if person is not None:
        wanted = np.array(person.joints, np.float32)
        joints = pck(read_joints(reader, picture), wanted, 0.1 * body_size(wanted))
    parts = {name: mask for name, mask in truth.parts.items() if mask.sum() >= MIN_PART}
    return (
        edge_f1(edges(picture), edges(truth.rgb)),
        silhouette_iou(saturated(picture), saturated(truth.rgb)),
        joints,
        *colour_accuracy(picture, parts, named_colours(task.scene), colours),
    )


def named_colours(scene: Scene) -> dict[str, str]:
    """Part -> colour name, of everything whose colour the caption names."""
    named = {solid.kind: solid.colour for solid in scene.solids}
    if scene.person is not None:
        named |= {"shirt": scene.person.shirt, "trousers": scene.person.trousers}
    return named


def edges(rgb: Picture) -> NDArray[np.bool_]:
    """Canny's edges (h, w), with its usual thresholds."""
    return np.asarray(canny(rgb)[..., 0] > 0)


def _grey(values: NDArray[np.generic]) -> Picture:
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)
