"""Control Timeline on the embedded host: its picture, its JSON, its preview."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.schedules import SCHEDULES, schedule
from controlstack.hosts import host
from controlstack.inspection.cost import costs_of
from controlstack.model_patch.control import ControlStack
from controlstack.model_patch.factors import StepSpan
from controlstack.nodes import NODE_CLASS_MAPPINGS
from tests.model_patch import stacks
from tests.tiny import tiny_model

SAMPLING = DiscreteSampling.from_betas()


def stack() -> ControlStack:
    return (stacks.control(1, strength=0.5), stacks.control(2, also=(StepSpan(2, 9),)))


def planned(**given: Any) -> dict[str, Any]:
    node: Any = NODE_CLASS_MAPPINGS["ControlStackTimeline"]
    made: dict[str, Any] = node().plan(
        **{
            **{"model": tiny_model(stacks.UNET), "steps": 10, "scheduler": "karras"},
            **{"denoise": 1.0, "stack": stack(), **given},
        }
    )
    return made


def data(**given: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(planned(**given)["result"][1])
    return made


def test_picture_preview_and_json(place: Path) -> None:
    made = planned()
    picture, text = made["result"]
    told = json.loads(text)
    assert (picture.ndim, picture.shape[0], picture.shape[3]) == (4, 1, 3)
    assert 0.0 <= float(picture.min()) < float(picture.max()) <= 1.0
    (shown,) = made["ui"]["images"]
    with Image.open(place / "temp" / shown["subfolder"] / shown["filename"]) as preview:
        assert (shown["type"], preview.size) == ("temp", picture.shape[2:0:-1])
    assert told["sigmas"] == schedule("karras", SAMPLING, 10).tolist()
    assert told["title"] == "10 steps, karras"
    first, second = told["controls"]
    assert first["strengths"] == [0.5] * 10
    assert second["words"].startswith("steps 2 to 9 of 10 (")
    expected = costs_of(stack(), tiny_model(stacks.UNET).model)
    assert [one["net"]["cost"] for one in told["controls"]] == [one.run for one in expected]
    assert first["net"]["cost_by"] == "weights"


def test_denoise_sigmas_and_windows(place: Path) -> None:
    assert data(denoise=0.5)["sigmas"] == schedule("karras", SAMPLING, 10, 0.5).tolist()
    assert data(denoise=0.5)["title"] == "10 steps, karras, denoise 0.5"
    levels = schedule("simple", SAMPLING, 12)
    given = data(sigmas=levels)
    assert (given["sigmas"], given["title"]) == (levels.tolist(), "12 steps, sigmas as given")
    part = data(start_at_step=4, end_at_step=8)
    assert part["steps"] == {"first": 4, "last": 8, "total": 10}
    assert part["controls"][1]["words"].startswith("steps 4 to 8 of 10")
    whole = data()
    assert part["controls"][1]["strengths"] == whole["controls"][1]["strengths"][4:8]
    assert data(stack=())["controls"] == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"denoise": 0.0}, "no step is left: the schedule has 0 steps"),
        ({"start_at_step": 10}, "no step is left: the schedule has 10 steps, and those from 10 to"),
        (
            {"stack": (stacks.control(1, also=(StepSpan(20, 30),)),)},
            "net 1: the steps 20 to 30 lie",
        ),
    ],
)
def test_what_is_wrong_is_said(place: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        planned(**given)
    assert caught.value.sentence.startswith(said)


def test_every_host_has_these_schedulers() -> None:
    node: Any = NODE_CLASS_MAPPINGS["ControlStackTimeline"]
    assert tuple(SCHEDULES) == host.SCHEDULERS
    assert node.INPUT_TYPES()["required"]["scheduler"][0] == list(SCHEDULES)
