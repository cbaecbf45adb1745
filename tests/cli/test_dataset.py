"""`controlstack dataset`: small copies in the sets' own formats become rows that train reads."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controlstack.preprocessors.ade20k import ADE20K
from controlstack.training.data.check import check
from controlstack.training.data.row_pictures import seen_of
from controlstack.training.settings import DataSettings
from tests.cli.prompts import Run
from tests.training_files import picture, save


def coco(folder: Path) -> tuple[Path, Path]:
    """Three pictures, one of them not there, one without a caption; the format of
    captions_val2017.json (https://cocodataset.org/#format-data)."""
    images = folder / "val2017"
    for key in (139, 285):
        save(images / f"{key:012}.jpg", picture(key, 64, 48))
    told = {
        "info": {"description": "COCO 2017 Dataset", "year": 2017},
        "licenses": [{"url": "http://example.org", "id": 4, "name": "a licence"}],
        "images": [
            {"license": 4, "file_name": f"{key:012}.jpg", "height": 48, "width": 64, "id": key}
            for key in (285, 139, 632, 724)
        ],
        "annotations": [
            {"image_id": 139, "id": 1, "caption": "A room with\n chairs. "},
            {"image_id": 285, "id": 2, "caption": "A bear."},
            {"image_id": 139, "id": 3, "caption": "A table."},
            {"image_id": 632, "id": 4, "caption": "A bed."},
        ],
    }
    file = folder / "annotations" / "captions_val2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps(told))
    return file, images


def rows(table: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("copies", [False, True])
def test_coco(run: Run, folder: Path, copies: bool) -> None:
    file, images = coco(folder)
    more = ["--copy"] if copies else []
    result = run("dataset", "coco", file, "--images", images, "--out", "mine", *more)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "mine/metadata.jsonl\n"
    where = "images" if copies else images.as_posix()
    assert rows(folder / "mine" / "metadata.jsonl") == [
        {"file_name": f"{where}/000000000285.jpg", "text": "A bear."},
        {
            "file_name": f"{where}/000000000139.jpg",
            "text": ["A room with chairs.", "A table."],
        },
    ]
    assert "1 pictures have no caption and are left out" in result.stderr
    assert "000000000632.jpg' in" in result.stderr
    assert ("--outside" in result.stderr) == (not copies)
    settings = DataSettings(path="mine", condition="canny", outside=not copies, resolution="48")
    found = check(settings)
    assert (len(found.rows.good), found.rows.bad) == (2, ())
    assert len(found.rows.good[1].captions) == 2
    again = run("dataset", "coco", file, "--images", images, "--out", "mine")
    assert (again.exit_code, "mine is there already" in again.stderr) == (2, True)


def test_the_line_that_it_gives_runs(run: Run, folder: Path) -> None:
    file, images = coco(folder)
    told = run("dataset", "coco", file, "--images", images, "--out", "mine").stderr
    line = shlex.split(told.split("controlstack ", 1)[1])
    result = run(*line)
    assert result.exit_code == 0, result.stderr
    assert "2 rows (layout imagefolder)" in result.stdout


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("[]", "is not COCO's file of captions"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "is not COCO's file of captions"),
        ('{"images": [], "annotations": []}', "it has no picture with a caption"),
        ("{", "is not JSON"),
        (
            '{"images": [{"id": 1, "file_name": "../x.jpg"}],'
            ' "annotations": [{"image_id": 1, "caption": "x"}]}',
            "leaves its folder",
        ),
    ],
)
def test_what_is_not_coco(run: Run, folder: Path, told: str, why: str) -> None:
    (folder / "captions.json").write_text(told)
    (folder / "images").mkdir()
    result = run("dataset", "coco", "captions.json", "--images", "images", "--out", "mine")
    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr
    assert not (folder / "mine").exists()


def scene_parsing(folder: Path) -> Path:
    """Two pictures with label maps: wall (1) over floor (4) with a speck of bed (8), and unlabelled
    (0) beside sky (3)."""
    home = folder / "ADEChallengeData2016"
    maps = {"ADE_train_00000001": np.zeros((48, 64), np.uint8)}
    maps["ADE_train_00000001"][:30], maps["ADE_train_00000001"][30:] = 1, 4
    maps["ADE_train_00000001"][0, 0] = 8
    maps["ADE_train_00000002"] = np.zeros((48, 64), np.uint8)
    maps["ADE_train_00000002"][:, :20] = 3
    for seed, (name, labels) in enumerate(maps.items()):
        save(home / "images" / "training" / f"{name}.jpg", picture(seed, 64, 48))
        save(home / "annotations" / "training" / f"{name}.png", labels)
    save(home / "images" / "training" / "ADE_train_00000003.jpg", picture(3, 64, 48))
    scenes = "ADE_train_00000001 airport_terminal\nADE_train_00000002 misc\n"
    (home / "sceneCategories.txt").write_text(scenes)
    return home


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("copies", [False, True])
def test_ade20k(run: Run, folder: Path, labels: bool, copies: bool) -> None:
    home = scene_parsing(folder)
    more = [*(["--labels"] if labels else []), *(["--copy"] if copies else [])]
    result = run("dataset", "ade20k", home, "--out", "mine", *more)
    assert result.exit_code == 0, result.stderr
    texts = [row["text"] for row in rows(folder / "mine" / "metadata.jsonl")]
    plain = ["airport terminal", ""]
    assert texts == (["airport terminal, wall, floor", "sky"] if labels else plain)
    assert "1 pictures have no label map, such as ADE_train_00000003.png" in result.stderr
    assert "1 of 2 pictures are of no named scene" in result.stderr
    settings = DataSettings(
        path="mine", outside=not copies, resolution="64x48", condition="seg_labels", hints="made",
        hint_settings="zero_is_unlabelled=true",
    )  # fmt: skip
    found = check(settings)
    assert (len(found.rows.good), found.rows.bad) == (2, ())
    _, hint = seen_of(found.rows.good[0], settings, found.condition, 0)
    colours = dict(ADE20K)
    assert hint is not None
    assert tuple(hint[10, 10]) == colours["wall"]
    assert tuple(hint[40, 10]) == colours["floor"]


def test_what_is_not_ade20k(run: Run, folder: Path) -> None:
    (folder / "other").mkdir()
    result = run("dataset", "ade20k", "other", "--out", "mine")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name the folder ADEChallengeData2016" in result.stderr
