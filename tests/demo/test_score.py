"""Scores of pictures whose score is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from controlstack.demo.scenes import HELD_OUT_SEEDS
from controlstack.demo.score import Picture, Task, score, tasks
from controlstack.evaluation.joint_reader import JointReader

SEEDS = HELD_OUT_SEEDS[:4]


def _truth(of: Sequence[Task], stack: tuple[str, ...]) -> Iterator[Picture]:
    return (task.drawing.rgb for task in of)


def test_the_scene_itself_scores_full_marks() -> None:
    found = score(_truth, (), tasks(None, SEEDS), JointReader(8, (1,)))
    assert (found.edge_f1, found.silhouette_iou, found.colours) == (1, 1, 1)
    assert found.pictures == 4


def test_another_scene_scores_little() -> None:
    def others(of: Sequence[Task], stack: tuple[str, ...]) -> Iterator[Picture]:
        return (task.drawing.rgb for task in (*of[1:], of[0]))

    found = score(others, (), tasks(None, SEEDS), JointReader(8, (1,)))
    assert found.edge_f1 < 0.3
    assert found.silhouette_iou < 0.4


def test_a_picture_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        score(lambda of, stack: [of[0].drawing.rgb], (), tasks(None, SEEDS), JointReader(8, (1,)))


def test_people_have_a_pose_hint_and_others_not() -> None:
    assert all("pose" in task.hints for task in tasks(True, SEEDS))
    for task in tasks(None, SEEDS):
        assert ("pose" in task.hints) == (task.scene.person is not None)
        assert {h.shape for h in task.hints.values()} == {(128, 128, 3)}
        assert set(np.unique(task.hints["canny"])) == {0, 255}
