"""Condition Fidelity: pictures beside the hints that they should follow."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.nodes.fidelity_node import ControlStackFidelity
from controlstack.preprocessors.ade20k import ADE20K
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.making import Loaded
from controlstack.preprocessors.pose.people import Joint, Person, Pose, to_json, to_keypoints

SIDE = 64
CPU = torch.device("cpu")


def box(left: int, top: int = 16) -> Any:
    picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
    picture[top : top + 24, left : left + 24] = 220
    return picture


def batch(*pictures: Any) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).float() / 255


def measure(images: Tensor, hint: Tensor, kind: str, **more: Any) -> tuple[float, Any, Tensor]:
    fidelity, figures, found = ControlStackFidelity().measure(images, hint, kind, **more)
    return fidelity, json.loads(figures, parse_constant=pytest.fail), found


def test_a_picture_follows_its_own_edges_and_not_another_s() -> None:
    hint = batch(canny(box(8)))
    fidelity, figures, found = measure(batch(box(8)), hint, "canny")
    assert fidelity == 1
    assert figures["mean"]["edge F1"] == 1
    assert torch.equal(found, hint)
    # Moved by 24 pixels: of the outline, a line of one side at most is where it was.
    assert measure(batch(box(32)), hint, "canny")[0] < 0.4


def test_the_mean_is_over_the_pictures_and_one_hint_serves_all() -> None:
    hint = batch(canny(box(8)))
    both, figures, found = measure(batch(box(8), box(32, 36)), hint, "canny")
    each = [one["edge F1"] for one in figures["pictures"]]
    assert each[0] == 1
    assert each[1] < 0.4
    assert both == pytest.approx(sum(each) / 2)
    assert found.shape == (2, SIDE, SIDE, 3)
    own = batch(canny(box(8)), canny(box(32, 36)))
    assert measure(batch(box(8), box(32, 36)), own, "canny")[0] == 1


def test_a_black_hint_counts_in_no_mean(caplog: pytest.LogCaptureFixture) -> None:
    """Neither its picture without edges nor one with them."""
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    hints = batch(black, canny(box(8)), black)
    fidelity, figures, _ = measure(batch(black, box(8), box(32)), hints, "canny")
    assert fidelity == 1
    assert [one["edge F1"] for one in figures["pictures"]] == [None, 1, None]
    assert "2 of 3 hints ask for nothing" in caplog.text
    alone, figures, _ = measure(batch(black), batch(black), "canny")
    assert math.isnan(alone)
    assert figures["mean"]["edge F1"] is None


@pytest.mark.parametrize("hints", [2, 4])
def test_numbers_that_do_not_match_are_both_said(hints: int) -> None:
    pictures, hint = batch(*[box(8)] * 3), batch(*[canny(box(8))] * hints)
    with pytest.raises(UserError, match=f"3 pictures and {hints} hints"):
        measure(pictures, hint, "canny")


def test_sizes_that_differ_are_both_said() -> None:
    with pytest.raises(UserError, match=r"64 x 64 .* 32 x 48"):
        measure(batch(box(8)), torch.zeros(1, 48, 32, 3), "canny")


class Finds:
    """An annotator with an answer to every picture."""

    networks = ()

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, picture: Any, device: torch.device, **settings: Any) -> Any:
        return self.answer(picture)


class Kept:
    """A model that is loaded already."""

    def __init__(self, annotator: Finds) -> None:
        self._annotator = annotator

    def ready(self, entry: Any, model: str, download: bool, keeper: Any) -> Loaded:
        return Loaded(self._annotator, CPU)


def measured(annotator: Finds, *given: Any, **more: Any) -> tuple[float, Any]:
    node = ControlStackFidelity()
    node._model = Kept(annotator)
    fidelity, figures, _ = node.measure(*given, **more)
    return fidelity, json.loads(figures, parse_constant=pytest.fail)


def person(height: float) -> Pose:
    body = tuple(Joint(3.0 * number + 2, height + number) for number in range(18))
    return Pose((Person(body),), (SIDE, SIDE))


@pytest.mark.usefixtures("models")
def test_people_are_compared_as_poses() -> None:
    finds = Finds(lambda picture: person(8.0))
    pictures, drawn = batch(box(8)), torch.zeros(1, SIDE, SIDE, 3)
    same = json.dumps(to_json(person(8.0)))
    assert measured(finds, pictures, drawn, "pose_openpose", pose_json=same)[0] == 1
    elsewhere = json.dumps(to_json(person(40.0)))
    assert measured(finds, pictures, drawn, "pose_openpose", pose_json=elsewhere)[0] == 0
    by_wire = {"pose_keypoint": [to_keypoints(person(8.0))]}
    assert measured(finds, pictures, drawn, "pose_openpose", **by_wire)[0] == 1
    assert measured(finds, pictures, drawn, "pose_openpose", pose_json=elsewhere, **by_wire)[0] == 1
    with pytest.raises(UserError, match="wire pose_json"):
        measured(finds, pictures, drawn, "pose_openpose")
    nobody = json.dumps({**to_json(person(8.0)), "people": []})
    empty = Finds(lambda picture: Pose((), (SIDE, SIDE)))
    fidelity, figures = measured(empty, pictures, drawn, "pose_openpose", pose_json=nobody)
    assert math.isnan(fidelity)
    assert None in figures["mean"].values()  # JSON has no NaN
    two = json.dumps([to_json(person(8.0))] * 2)
    with pytest.raises(UserError, match="1 pictures and 2 hints"):
        measured(finds, pictures, drawn, "pose_openpose", pose_json=two)


@pytest.mark.usefixtures("models")
def test_segmentation_is_the_paper_s_measure() -> None:
    """Half of the picture is wall, half sky. All taken for wall: wall has an IoU of 1 / 2, sky
    of 0, and the mean is 1 / 4.
    """
    wall, sky = ADE20K[0][1], ADE20K[2][1]
    hint = np.zeros((SIDE, SIDE, 3), np.uint8)
    hint[:, : SIDE // 2], hint[:, SIDE // 2 :] = wall, sky
    right = Finds(lambda picture: hint)
    assert measured(right, batch(box(8)), batch(hint), "seg_ade20k")[0] == 1
    blind = Finds(lambda picture: np.full_like(hint, wall))
    assert measured(blind, batch(box(8)), batch(hint), "seg_ade20k")[0] == pytest.approx(0.25)


@pytest.mark.usefixtures("models")
def test_depth_is_compared_up_to_its_scale() -> None:
    slope = np.tile(np.linspace(0, 1, SIDE, dtype=np.float32)[:, None], (SIDE, 1, 3))
    hint = torch.from_numpy(slope)[None]
    finds = Finds(lambda picture: slope * 0.5 + 0.25)
    _, figures = measured(finds, batch(box(8)), hint, "depth")
    assert figures["mean"]["depth rank correlation"] == pytest.approx(1)
    turned = Finds(lambda picture: slope[:, ::-1].copy())
    _, figures = measured(turned, batch(box(8)), hint, "depth")
    assert figures["mean"]["depth rank correlation"] == pytest.approx(-1)


def test_a_preprocessor_s_missing_weights_are_said_before_anything_runs(models: Path) -> None:
    check = ControlStackFidelity.VALIDATE_INPUTS
    assert check(preprocessor="canny") is True
    assert check(preprocessor=None) is True
    assert "hed" in str(check(preprocessor="hed")).lower()
    assert "There is no preprocessor 'nothing'" in str(check(preprocessor="nothing"))
