"""The contact sheet: its layout, and one row of it made on the embedded host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from controlstack.demo import sheet
from controlstack.demo.scenes import SHEET_SEEDS, sample_scene
from controlstack.demo.sheet import COLUMNS, make_sheet
from controlstack.ground.contact_sheet import CELL
from controlstack.ground.errors import UserError


def test_the_sheets_scenes_have_a_person_beside_a_solid() -> None:
    for seed in SHEET_SEEDS:
        scene = sample_scene(seed, person=True)
        assert scene.person is not None
        assert len(scene.solids) == 1


def test_one_row_of_the_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(sheet.WORKFLOW.read_text())
    (sampler,) = (node for node in document["nodes"] if node["type"] == "KSampler")
    assert sampler["widgets_values"][2] == 20
    sampler["widgets_values"][2] = 8
    (tmp_path / "quick.json").write_text(json.dumps(document))
    monkeypatch.setattr(sheet, "WORKFLOW", tmp_path / "quick.json")
    out = tmp_path / "new" / "sheet.png"
    results = make_sheet(out, SHEET_SEEDS[:1])
    assert [result.label for result in results] == list(COLUMNS)
    assert all(result.seconds > 0 for result in results)
    assert all(result.score.pictures == 1 for result in results)
    none, pose, depth, both = (result.score for result in results)
    assert both.silhouette_iou > none.silhouette_iou
    assert both.joints >= none.joints
    assert depth.silhouette_iou > none.silhouette_iou
    assert pose.joints >= none.joints
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]
    with Image.open(out) as page:
        assert page.format == "PNG"
        assert page.width > 6 * CELL


def test_a_folder_is_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        make_sheet(tmp_path)
