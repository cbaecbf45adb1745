"""`controlstack inspect`: one workflow in full, a collection a line each, and JSON."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from tests.cli.prompts import WORKFLOWS, Run

STACK = WORKFLOWS / "stack_pose_depth.json"


def test_one_workflow_in_full(run: Run, folder: Path) -> None:
    result = run("inspect", STACK)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"{STACK}: runs here with its files"
    assert "picture: 512 x 512, by node 6 (EmptyLatentImage)" in lines
    (checkpoint,) = (line for line in lines if line.startswith("  checkpoint "))
    assert "not here, from https://huggingface.co/" in checkpoint
    assert (
        "  control 1 (control_v11p_sd15_openpose_fp16.safetensors): strength 1; "
        "steps 0 to 20 of 20 (start 0.000, end 1.000)"
    ) in lines
    assert any(line.startswith("nodes of controlstack: ControlStackAdd x2") for line in lines)
    assert list(folder.iterdir()) == []


def test_pictures_with_a_workflow_and_without(run: Run, folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "plain.png")
    assert run("inspect", "plain.png").exit_code == 2
    (folder / "mine.json").write_text(STACK.read_text("utf-8"), encoding="utf-8")
    result = run("inspect", ".")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "mine.json: runs here with its files: 4 not here",
        "plain.png: the picture plain.png holds no workflow; pictures lose it when a site or an "
        "editor saves them again",
        "",
        "2 workflows",
        "     1 runs here with its files",
        "     1 is no workflow",
        "families: Stable Diffusion 1.x 1",
    ]


def test_data_for_programs(run: Run, folder: Path) -> None:
    data = json.loads(run("inspect", STACK, "--json", "-").stdout)
    assert (data["status"], data["family"]["name"]) == ("files", "Stable Diffusion 1.x")
    assert len(data["plan"]["samplers"][0]["controls"]) == 2
    result = run("inspect", WORKFLOWS, "--json", "all.json")
    assert result.stdout == "all.json\n"
    data = json.loads((folder / "all.json").read_text("utf-8"))
    assert len(data["workflows"]) == data["reach"]["total"] == len(list(WORKFLOWS.glob("*.json")))
    assert data["reach"]["packs"]["comfy-core"]["types"]["FluxGuidance"] == 2
    (folder / "all.json").write_text("{}")
    result = run("inspect", STACK, "--json", "all.json")
    assert result.exit_code == 2
    assert "all.json is there already" in result.stderr


def test_the_folder_of_the_data_is_made(run: Run, folder: Path) -> None:
    result = run("inspect", STACK, "--json", "new/dir/one.json")
    assert (result.exit_code, result.stdout) == (0, "new/dir/one.json\n"), result.stderr
    assert json.loads((folder / "new" / "dir" / "one.json").read_text("utf-8"))["status"]


def test_what_is_not_there(run: Run, folder: Path) -> None:
    result = run("inspect", "no.json")
    assert result.exit_code == 2
    assert "no.json is not there" in result.stderr
