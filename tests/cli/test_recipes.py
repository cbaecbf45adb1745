"""The recipes of `docs/recipes/`: settings that `controlstack train` reads, for such data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from controlstack.training.config import read_config, run_settings
from tests.cli.prompts import Run

FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
README = (FOLDER / "README.md").read_text()


@pytest.fixture
def data(folder: Path) -> Path:
    """Two pictures with captions, and the same in fill50k's layout."""
    out = folder / "data"
    out.mkdir()
    lines = []
    for number in range(2):
        picture = f"{number}.png"
        Image.new("RGB", (640, 512), (40 * number, 90, 60)).save(out / picture)
        (out / f"{number}.txt").write_text("a person")
        lines.append(json.dumps({"source": picture, "target": picture, "prompt": "a circle"}))
    (out / "prompt.json").write_text("\n".join(lines))
    return out


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_command_reads_a_recipe_and_data_of_its_kind(
    recipe: Path, run: Run, data: Path
) -> None:
    asked = run_settings(read_config(recipe))
    if asked.data.layout != "fill50k":
        (data / "prompt.json").unlink()
    result = run("train", recipe, "--data", data, "--dry-run")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "2 rows" in result.stdout
    assert f"hints: {'made' if asked.data.condition else 'given'}" in result.stdout
    assert "without effect" not in result.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_looks_at_its_gain_and_keeps_the_best(recipe: Path) -> None:
    asked = run_settings(read_config(recipe))
    assert asked.training.validate_every
    assert asked.training.save_best
    assert asked.validation.rows >= 24
    assert f"`{recipe.name}`" in README


def test_there_are_recipes() -> None:
    assert {"sd15_canny", "sd15_depth", "sd15_fill50k", "sd15_pose"} <= {r.stem for r in RECIPES}
