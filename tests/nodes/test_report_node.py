"""Control Report on the embedded host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.ours import MARKED
from controlstack.headless import host
from controlstack.headless.folders import Folders
from controlstack.nodes.report_node import NO_RECORDING, NOT_SAMPLED, ControlStackReport
from controlstack.nodes.stack import ControlStackApply
from tests.model_patch import stacks
from tests.tiny import tiny_model


@pytest.fixture(autouse=True)
def _host(tmp_path: Path) -> Iterator[None]:
    with host.use(Folders((), (), tmp_path / "output", tmp_path / "temp")):
        yield


def applied(**given: Any) -> Any:
    stack = (stacks.control(1), stacks.control(2))
    (model,) = ControlStackApply().apply(tiny_model(stacks.UNET), stack=stack, **given)
    return model


def reported(model: Any, image: Any = None) -> tuple[dict[str, Any], dict[str, Any], str]:
    made = ControlStackReport().report(model, {"samples": torch.zeros(1, 4, 8, 8)}, image)
    picture, text, sentences = made["result"]
    assert picture.ndim == 4
    assert picture.shape[-1] == 3
    assert made["ui"]["text"] == sentences.split("\n")
    return made["ui"], json.loads(text), sentences


def test_the_last_run_is_reported(tmp_path: Path) -> None:
    model = applied(record=True)
    stacks.sample(model)

    shown, told, sentences = reported(model, torch.rand(1, 64, 64, 3))

    (picture,) = shown["images"]
    assert (tmp_path / "temp" / picture["filename"]).is_file()
    assert picture["type"] == "temp"
    (run,) = told["runs"]
    assert [control["name"] for control in run["controls"]] == ["net 1", "net 2"]
    assert "net 1 added" in sentences
    assert reported(model)[1] == told  # as where the sampler was cached


def test_a_clone_that_samples_is_told_as_well() -> None:
    model = applied(record=True)
    stacks.sample(model.clone())

    assert len(reported(model)[1]["runs"]) == 1


def test_two_stacks_on_one_model_are_both_told() -> None:
    first = applied(record=True)
    stack = (stacks.control(3),)
    (model,) = ControlStackApply().apply(first, stack=stack, record=True)
    stacks.sample(model)

    runs = reported(model)[1]["runs"]
    assert [len(run["controls"]) for run in runs] == [2, 1]


def test_a_model_without_a_recording_gets_a_sentence() -> None:
    model = applied()
    stacks.sample(model)

    assert reported(model)[1:] == ({**MARKED, "version": 1, "runs": []}, NO_RECORDING)
    assert reported(tiny_model(stacks.UNET))[2] == NO_RECORDING
    assert reported(applied(record=True))[2] == NOT_SAMPLED


def test_record_is_the_last_input_of_apply() -> None:
    inputs = ControlStackApply.INPUT_TYPES()
    kind, words = inputs["optional"]["record"]

    assert list(inputs["optional"])[-1] == "record"
    assert (kind, words["default"]) == ("BOOLEAN", False)
