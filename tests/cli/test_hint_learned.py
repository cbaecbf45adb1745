"""Hints by networks, on tiny weights in the published files' form: models, people, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controlstack.preprocessors import registry
from controlstack.preprocessors.learned import depth
from controlstack.preprocessors.pose.draw import draw_pose
from tests.annotator_files import publish, random_state
from tests.cli.prompts import WORKFLOWS, Run
from tests.tiny_depth import tiny_dpt
from tests.tiny_pose import tiny_detector, tiny_vitpose

SCENE = WORKFLOWS / "input" / "controlstack_scene.png"


def pixels(path: Path | str) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def people_models(folder: Path) -> Path:
    """models/ with a ViTPose and its detector, by their published names."""
    weights = folder / "models" / "controlstack"
    tiny_vitpose(weights / "vitpose-base-simple")
    tiny_detector(weights / "rtdetr_r50vd_coco_o365")
    return folder / "models"


@pytest.mark.parametrize("place", ["models/depth", "elsewhere/controlstack"])
def test_a_model_of_ones_own_by_its_name(run: Run, folder: Path, place: str) -> None:
    tiny_dpt(folder / place / "mine")
    asked = ("hint", "depth", SCENE, "--models", Path(place).parent, "--size", "96x64")
    first = run(*asked, "--out", "first")
    assert first.exit_code == 0, first.stderr
    hint = pixels(first.stdout.strip())
    assert hint.shape == (64, 96, 3)
    assert (hint.min(), hint.max()) == (0, 255)
    named = run(*asked, "--model", "mine", "--deep", "--out", "named").stdout.strip()
    deep = pixels(named)
    assert deep.dtype == np.uint16
    assert len(np.unique(deep)) > 256
    assert np.abs(deep / 257 - hint[..., 0]).max() <= 0.51


def test_one_loading_for_all_files(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_dpt(folder / "models" / "depth" / "mine")
    loaded = []
    check = depth.check_folder
    monkeypatch.setattr(
        depth, "check_folder", lambda *given: (loaded.append(given), check(*given))[1]
    )
    for name in "abc":
        Image.new("RGB", (32, 32)).save(folder / f"{name}.png")
    once = run("hint", "depth", "a.png")
    assert once.exit_code == 0, once.stderr
    assert (count := len(loaded))
    assert run("hint", "depth", "a.png", "b.png", "c.png").exit_code == 0
    assert len(loaded) == 2 * count


def test_a_network_of_controlnet_aux_says_nothing_else(folder: Path) -> None:
    """In a process of its own: libraries print when they are imported and when they load."""
    weights = folder / "models" / "controlstack" / "table5_pidinet"
    publish(weights, "table5_pidinet.pth", random_state("table5_pidinet.pth"))
    script = "from controlstack.cli.main import main; main()"
    asked = ["hint", "pidinet", str(SCENE), "--resolution", "128", "--set", "safe=true"]
    result = subprocess.run(
        [sys.executable, "-c", script, *asked], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "output/controlstack_scene_pidinet.png\n"
    assert pixels(result.stdout.strip()).shape == (512, 512, 3)


def test_people_are_drawn_and_written_as_json(run: Run, people_models: Path) -> None:
    result = run(
        *("hint", "pose_vitpose", SCENE, "--json", "--models", people_models),
        *("--set", "person_threshold=0", "--set", "joint_threshold=0"),
    )
    assert result.exit_code == 0, result.stderr
    picture, people = result.stdout.split()
    assert people == "output/controlstack_scene_pose_vitpose.json"
    frame = json.loads(Path(people).read_text())
    assert frame["people"]
    assert (frame["canvas_width"], frame["canvas_height"]) == (512, 512)
    assert np.array_equal(pixels(picture), draw_pose(frame, 512, 512))
    drawn = run("hint", "pose", people).stdout.strip()
    assert np.array_equal(pixels(drawn), pixels(picture))


def test_nobody_is_a_note_and_a_black_hint(run: Run, people_models: Path) -> None:
    result = run("hint", "pose_vitpose", SCENE, "--set", "person_threshold=1", "--json")
    assert result.exit_code == 0
    picture, people = result.stdout.split()
    assert result.stderr == f"Note: nobody in {SCENE}; {picture} is black.\n"
    assert not pixels(picture).any()
    assert json.loads(Path(people).read_text())["people"] == []


@pytest.mark.parametrize("name", [entry.name for entry in registry.LEARNED])
@pytest.mark.usefixtures("empty_cache")
def test_missing_weights_are_said_before_anything_is_read(
    run: Run, folder: Path, name: str
) -> None:
    (folder / "broken.png").write_text("no picture")
    result = run("hint", name, "broken.png", "--models", "here")
    assert result.exit_code == 2
    learning = registry.PREPROCESSORS[name].learning
    assert learning is not None
    model = learning.models[0]
    assert f"https://huggingface.co/{model.repo}" in result.stderr
    assert str(Path("here", "controlstack", model.name)) in result.stderr
    assert "--download" in result.stderr
