"""The demo's scenes as a fill50k folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.demo.build import RECIPE
from controlstack.demo.training_folder import FIRST_SEED, write_folder
from controlstack.ground.errors import UserError
from controlstack.preprocessors.canny import canny


def test_hints_are_of_their_pictures(tmp_path: Path) -> None:
    out = tmp_path / "data"
    write_folder(out, 3, "canny")
    rows = [json.loads(line) for line in (out / "prompt.json").read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        target, source = (np.array(Image.open(out / row[part])) for part in ("target", "source"))
        assert target.shape == (128, 128, 3)
        assert (source == canny(target)).all()
        assert source.any()
        assert row["prompt"]


def test_every_scene_for_poses_has_a_person(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", 4, "pose")
    assert all(np.array(Image.open(file)).any() for file in (tmp_path / "data/source").iterdir())


def test_the_base_was_not_trained_on_these_scenes() -> None:
    assert RECIPE.scenes <= FIRST_SEED


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already; name another"):
        write_folder(tmp_path, 1, "canny")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
