"""Fidelity while a network learns: by the condition's own preprocessor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from controlstack.preprocessors.canny import CANNY, canny
from controlstack.preprocessors.making import Loaded
from controlstack.preprocessors.pose.draw import POSE
from controlstack.preprocessors.pose.people import Joint, Person, Pose
from controlstack.preprocessors.ready import HintMaker
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.training.data.condition import Condition
from controlstack.training.fidelity import fidelity_of
from controlstack.training.samples import Sample

ROOM = np.full((64, 64, 3), 40, np.uint8)
ROOM[16:48, 20:50] = 220


def sample(target: Any = None) -> Sample:
    return Sample(torch.from_numpy(canny(ROOM)).permute(2, 0, 1) / 255, "", target)


def test_a_picture_that_follows_its_hint_and_one_that_does_not() -> None:
    fidelity = fidelity_of(Condition(CANNY, CANNY.settings({})), None)
    assert fidelity is not None
    figures = fidelity(ROOM, sample())
    assert next(iter(figures)) == "edge F1"
    assert figures["edge F1"] == 1
    other = np.full_like(ROOM, 40)
    other[4:12, 4:12] = 220
    assert fidelity(other, sample())["edge F1"] < 0.3


def test_the_preprocessor_s_settings_count() -> None:
    blind = {**CANNY.settings({}), "low_threshold": 255, "high_threshold": 255}
    faint = np.full_like(ROOM, 40)
    faint[16:48, 20:50] = 60
    names = set(CANNY.settings({}))
    assert set(blind) == names
    fidelity = fidelity_of(Condition(CANNY, blind), None)
    assert fidelity is not None
    assert fidelity(faint, sample())["edge F1"] == 0


@pytest.mark.parametrize(
    "condition",
    [Condition(), Condition(POSE, POSE.settings({})), Condition(PREPROCESSORS["depth"], {})],
)
def test_conditions_that_nobody_finds_in_a_picture(condition: Condition) -> None:
    assert fidelity_of(condition, None) is None


class FindsOne:
    """Somebody whose joints lie on a line at the picture's mean brightness."""

    networks = ()

    def __call__(self, picture: Any, device: torch.device, **settings: Any) -> Pose:
        height = float(picture.mean()) / 4
        body = tuple(Joint(3.0 * number + 1, height) for number in range(18))
        return Pose((Person(body),), (64, 64))


def test_people_are_found_in_the_target_too() -> None:
    entry = PREPROCESSORS["pose_openpose"]
    maker = HintMaker(Loaded(FindsOne(), torch.device("cpu")), "a test's")
    fidelity = fidelity_of(Condition(entry, entry.settings({}), True), maker)
    assert fidelity is not None
    assert fidelity(ROOM, sample(ROOM))["PCK@0.1"] == 1
    assert fidelity(np.full_like(ROOM, 250), sample(ROOM))["PCK@0.1"] == 0
    assert fidelity(ROOM, sample()) == {}
