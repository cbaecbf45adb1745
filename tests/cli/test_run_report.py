"""`controlstack run --report`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.prompts import WORKFLOWS, Prompt, Run

QUICK = ("--demo", "--set", "KSampler.steps=2", "--input", WORKFLOWS / "input")
SMALL = ("--set", "EmptyLatentImage.width=64", "--set", "EmptyLatentImage.height=64")


@pytest.fixture
def workflow(folder: Path, api_form: Callable[[str], Prompt]) -> Path:
    path = folder / "workflow.json"
    path.write_text(json.dumps(api_form("step_ranges")))
    return path


def test_every_sampler_has_its_report(run: Run, folder: Path, workflow: Path) -> None:
    plain = run("run", workflow, *QUICK, *SMALL)
    result = run("run", workflow, *QUICK, *SMALL, "--report", "seen", "--out", "again")

    assert result.exit_code == 0, result.stderr
    names = ["seen/report-1.png", "seen/report-2.png", "seen/report.json"]
    made = result.stdout.splitlines()
    assert made[2:] == names
    for before, after in zip(plain.stdout.splitlines(), made[:2], strict=True):
        with Image.open(folder / before) as one, Image.open(folder / after) as other:
            assert one.tobytes() == other.tobytes()
    runs = json.loads((folder / names[2]).read_text())["runs"]
    assert [len(one["controls"]) for one in runs] == [2, 2]
    assert len({one["title"] for one in runs}) == 2
    for one in runs:
        for control in one["controls"]:
            assert control["sentence"] in result.stderr


def test_a_workflow_without_a_stack_is_told(
    run: Run, folder: Path, api_form: Callable[[str], Prompt]
) -> None:
    prompt = api_form("pose")
    apply = next(key for key, node in prompt.items() if node["class_type"] == "ControlStackApply")
    (sampler,) = (node for node in prompt.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["model"] = prompt.pop(apply)["inputs"]["model"]
    path = folder / "plain.json"
    path.write_text(json.dumps(prompt))
    result = run("run", path, *QUICK, *SMALL, "--report", "seen")

    assert result.exit_code == 0, result.stderr
    assert "no control stack was put on a model" in result.stderr
    assert json.loads((folder / "seen/report.json").read_text())["runs"] == []


def test_a_folder_that_cannot_be_is_said_first(run: Run, folder: Path, workflow: Path) -> None:
    (folder / "file").touch()
    result = run("run", workflow, *QUICK, "--report", "file")

    assert result.exit_code == 2
    assert "the folder for the report" in result.stderr
    assert not (folder / "output").exists()


def test_what_somebody_else_made_stays(run: Run, folder: Path, workflow: Path) -> None:
    (folder / "seen").mkdir()
    (folder / "seen" / "report-2.png").write_bytes(b"mine")
    result = run("run", workflow, *QUICK, "--report", "seen")

    assert result.exit_code == 2
    assert "report-2.png is there already and was not made by ControlStack" in result.stderr
    assert not (folder / "output").exists()
