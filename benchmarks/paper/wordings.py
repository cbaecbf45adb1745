"""The four prompt settings of the paper's ablation (section 4.3, Figure 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlstack.demo.scenes import HELD_OUT_SEEDS
from controlstack.demo.score import Task

from .quality import things_of
from .world import held_out

INSUFFICIENT = "a picture"
"""Words of the captions that name nothing that is drawn."""
NAMES = ("none", "insufficient", "conflicting", "perfect")


def conflicting(tasks: Sequence[Task]) -> list[Task]:
    """For each task, the first held-out scene after its own place that shares no thing with it:
    its prompt names other things than the hint shows.
    """
    pool = held_out(len(HELD_OUT_SEEDS))
    return [_other(pool[i % len(pool) :] + pool, task) for i, task in enumerate(tasks)]


def _other(pool: Sequence[Task], task: Task) -> Task:
    own = things_of(task.scene)
    return next(other for other in pool if not own & things_of(other.scene))


def prompts(tasks: Sequence[Task]) -> Mapping[str, list[str]]:
    """Setting -> a prompt for each task."""
    return {
        "none": [""] * len(tasks),
        "insufficient": [INSUFFICIENT] * len(tasks),
        "conflicting": [task.prompt for task in conflicting(tasks)],
        "perfect": [task.prompt for task in tasks],
    }
