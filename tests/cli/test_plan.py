"""`controlstack plan`: a picture and JSON, no model, one sentence for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.prompts import WORKFLOWS, Run

STACK = WORKFLOWS / "stack_pose_depth.json"


def test_a_picture_and_what_it_says(run: Run, folder: Path) -> None:
    result = run("plan", STACK, "--out", "plans/stack.png", "--json", "plans/stack.json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == ["plans/stack.png", "plans/stack.json"]
    with Image.open(folder / "plans" / "stack.png") as picture:
        assert picture.width > 1000
    data = json.loads((folder / "plans" / "stack.json").read_text(encoding="utf-8"))
    (sampler,) = data["samplers"]
    assert (data["version"], sampler["node"], len(sampler["controls"])) == (1, "15", 2)
    assert (
        "  control 1 (control_v11p_sd15_openpose_fp16.safetensors): steps 0 to 20 of 20 (start "
        "0.000, end 1.000), its net runs in 20 steps, about 21% of the cost"
    ) in result.stderr.splitlines()
    assert "v1-5-pruned-emaonly-fp16.safetensors' is not here; the noise schedule" in result.stderr


def test_json_on_standard_output_alone(run: Run, folder: Path) -> None:
    result = run("plan", STACK, "--json", "-", "--set", "KSampler.steps=7")
    data = json.loads(result.stdout)
    assert data["samplers"][0]["steps"] == {"first": 0, "last": 7, "total": 7}
    assert (folder / "plan.png").is_file()


def test_several_samplers_are_one_page(run: Run, folder: Path) -> None:
    assert run("plan", WORKFLOWS / "step_ranges.json", "--out", "two.png").exit_code == 0
    assert run("plan", STACK, "--out", "one.png").exit_code == 0
    with Image.open(folder / "two.png") as two, Image.open(folder / "one.png") as one:
        assert two.height > 1.8 * one.height


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.json",), "cannot read the workflow none.json"),
        ((STACK, "--set", "KSampler.steps=0"), "node 15 (KSampler): input steps is 0, but has to"),
        ((STACK, "--set", "KSampler.depth=0"), "node 15 (KSampler) has no input 'depth'"),
        ((STACK, "--set", "Add ControlNet"), "--set Add ControlNet has no value"),
        ((STACK, "--out", "."), "--out .: the picture is a PNG; give it a name that ends .png"),
        ((STACK, "--out", "a/"), "--out a: the picture is a PNG"),
        ((STACK, "--json", "."), "is a folder"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, folder: Path, arguments: tuple[object, ...], said: str
) -> None:
    result = run("plan", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert list(folder.iterdir()) == []


def test_the_workflow_of_the_readme(run: Run, folder: Path) -> None:
    """docs/timeline.png is made of it."""
    workflow = WORKFLOWS.parent / "docs" / "timeline-workflow.json"
    result = run("plan", workflow, "--input", WORKFLOWS / "input", "--json", "-")
    (sampler,) = json.loads(result.stdout)["samplers"]
    assert [(line["hint"] is None, line["mask"] is None) for line in sampler["controls"]] == [
        (False, True),
        (False, False),
        (False, True),
    ]
    assert [line["net"]["runs"] for line in sampler["controls"]] == [9, 12, 14]


def test_the_workflow_is_not_written_over(run: Run, folder: Path) -> None:
    text = STACK.read_text(encoding="utf-8")
    (folder / "mine.json").write_text(text, encoding="utf-8")
    result = run("plan", "mine.json", "--json", folder / "mine.json")
    assert result.exit_code == 2
    assert "mine.json is an input of this command, and no input is written over" in result.stderr
    assert (folder / "mine.json").read_text(encoding="utf-8") == text
    result = run("plan", "mine.json", "--out", "a.png", "--json", "a.png")
    assert (result.exit_code, (folder / "a.png").exists()) == (2, False)
    assert "--json a.png is the file of --out too" in result.stderr


def test_what_somebody_else_made_is_replaced_only_when_told(run: Run, folder: Path) -> None:
    (folder / "plan.png").write_bytes(b"mine")
    refused = run("plan", STACK)
    assert refused.exit_code == 2
    assert "plan.png is there already and was not made by ControlStack" in refused.stderr
    assert (folder / "plan.png").read_bytes() == b"mine"
    assert run("plan", STACK, "--overwrite", "--json", "a.json").exit_code == 0
    again = run("plan", STACK, "--json", "a.json")  # its own files are
    assert again.exit_code == 0, again.stderr
