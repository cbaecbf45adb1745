"""`controlstack hint pose_body`: a network that is here already."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.checkout import ROOT
from tests.cli.prompts import Run

PHOTO = ROOT / "tests" / "photos" / "park_jack.jpg"


def test_a_photo_by_the_command_upright_and_by_exif(run: Run, folder: Path) -> None:
    plain = Image.open(PHOTO).convert("RGB")
    plain.save(folder / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    plain.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    result = run("hint", "pose_body", "upright.png", "turned.png", "--json")
    assert result.exit_code == 0, result.stderr
    both = [
        json.loads((folder / "output" / f"{name}_pose_body.json").read_text())
        for name in ("upright", "turned")
    ]
    first, second = (one["people"][0]["pose_keypoints_2d"] for one in both)
    assert second == pytest.approx(first)


def test_nobody_is_a_note_and_a_black_hint(run: Run, folder: Path) -> None:
    Image.new("RGB", (200, 120), (90, 140, 60)).save(folder / "meadow.png")
    result = run("hint", "pose_body", "meadow.png")
    assert result.exit_code == 0
    picture = Path(result.stdout.strip())
    assert result.stderr == f"Note: nobody in meadow.png; {picture} is black.\n"
    assert not np.asarray(Image.open(folder / picture)).any()


def test_a_command_offers_no_model_and_no_download(run: Run) -> None:
    said = run("hint", "pose_body", "--help").stdout
    assert "--download" not in said
    assert "--models" not in said
    assert "--resolution" in said
    refused = run("hint", "pose_body", "a.png", "--download")
    assert refused.exit_code == 2


@pytest.mark.parametrize("name", ["mediapipe_face", "canny"])
def test_nothing_to_draw_is_a_note_and_a_black_hint(run: Run, folder: Path, name: str) -> None:
    Image.new("RGB", (200, 120), (90, 140, 60)).save(folder / "meadow.png")
    result = run("hint", name, "meadow.png")
    assert result.exit_code == 0
    picture = Path(result.stdout.strip())
    assert result.stderr == f"Note: nothing to draw in meadow.png; {picture} is black.\n"
    assert not np.asarray(Image.open(folder / picture)).any()


def test_a_black_picture_that_is_right_is_no_note(run: Run, folder: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(folder / "white.png")
    result = run("hint", "invert", "white.png")
    assert result.exit_code == 0
    assert not result.stderr
