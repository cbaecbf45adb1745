"""`controlstack run --control-net`: a net by its place, in a workflow that names another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from controlstack.demo.models import CONTROL_NETS
from tests.checkout import ROOT
from tests.cli.prompts import Run

STACK = ROOT / "workflows" / "stack_pose_depth.json"
CANNY = ROOT / "workflows" / "canny.json"
QUICK = ("--demo", "--set", "KSampler.steps=2", "--seed", 1, "--out", "out")


def pixels(run: Run, folder: Path, *arguments: object) -> bytes:
    """The picture of a run; the texts in a PNG are left out, since they tell of names."""
    from PIL import Image

    result = run("run", *arguments, *QUICK)
    assert result.exit_code == 0, result.stderr
    with Image.open(folder / result.stdout.splitlines()[-1]) as picture:
        return picture.tobytes()


def test_a_net_is_used_where_it_lies(run: Run, folder: Path) -> None:
    other = shutil.copytree(CONTROL_NETS["depth"], folder / "mine")
    plain = pixels(run, folder, CANNY)
    assert pixels(run, folder, CANNY, "--control-net", other) != plain
    same = shutil.copytree(CONTROL_NETS["canny"], folder / "same")
    assert pixels(run, folder, CANNY, "--control-net", same) == plain
    checkpoint = folder / "step-00000001"
    checkpoint.mkdir()
    same.rename(checkpoint / "network")
    assert pixels(run, folder, CANNY, "--control-net", checkpoint) == plain


def test_of_several_loaders_one_has_to_be_named(run: Run, folder: Path) -> None:
    net = CONTROL_NETS["canny"]
    loaders = [
        node["id"]
        for node in json.loads(STACK.read_text())["nodes"]
        if node["type"] in ("ControlStackLoader", "ControlNetLoader")
    ]
    assert len(loaders) > 1
    result = run("run", STACK, "--control-net", net, *QUICK)
    assert result.exit_code == 2
    assert f"{len(loaders)} nodes load ControlNets" in result.stderr
    assert "write --control-net NODE=PATH, such as" in result.stderr
    plain = pixels(run, folder, STACK)
    assert pixels(run, folder, STACK, "--control-net", f"{loaders[0]}={net}") != plain or (
        pixels(run, folder, STACK, "--control-net", f"{loaders[1]}={net}") != plain
    )


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ("nowhere", "nowhere is not there"),
        ("notes.txt", "notes.txt"),
        ("99=net", "there is no node '99'"),
        ("KSampler=net", "(KSampler) loads no ControlNet by its name"),
        ("KSampler.steps=net", "input steps of node 12 (KSampler) names no ControlNet"),
    ],
)
def test_what_is_no_net_and_no_loader(run: Run, folder: Path, net: str, said: str) -> None:
    (folder / "net").symlink_to(CONTROL_NETS["canny"])
    (folder / "notes.txt").write_text("words")
    result = run("run", CANNY, "--control-net", net, *QUICK)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
