"""`controlstack hint --sheet IMAGE`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.prompts import WORKFLOWS, Run

SCENE = WORKFLOWS / "input" / "controlstack_scene.png"


@pytest.mark.usefixtures("empty_cache")
def test_the_page_is_written_and_what_it_lacks_is_said(run: Run) -> None:
    result = run("hint", "--sheet", SCENE)
    assert result.exit_code == 0, result.stderr
    page, head, *lines = result.stdout.splitlines()
    assert page == "output/hint_sheet.png"
    assert head == "Not on the page:"
    assert any(
        line.startswith("  hed: Needs ControlNetHED.pth (29 MB, Apache-2.0") for line in lines
    )
    with Image.open(page) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--sheet", "none.png"), "none.png"),
        (("--sheet", "text.txt"), "text.txt"),
        (("--sheet", SCENE, "--out", "."), "is a folder"),
        (("--sheet", "thin.png"), "thin.png is 1 x 4000 pixels, and a hint of it"),
        (("--debug",), "--sheet"),
    ],
)
def test_what_is_wrong_is_said(run: Run, folder: Path, asked: tuple[str, ...], said: str) -> None:
    (folder / "text.txt").write_text("hello")
    Image.new("RGB", (1, 4000)).save(folder / "thin.png")
    result = run("hint", *asked)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert said in result.stderr


def test_the_picture_is_not_replaced_by_its_page(run: Run, folder: Path) -> None:
    (folder / "photo.png").write_bytes(before := SCENE.read_bytes())
    (folder / "link.png").symlink_to("photo.png")
    for out in ("photo.png", "./photo.png", "link.png"):
        result = run("hint", "--sheet", "photo.png", "--out", out, "--overwrite")
        assert result.exit_code == 2
        assert f"{Path(out)} is an input of this command" in result.stderr
    (folder / "mine.png").write_bytes(b"mine")
    assert "--overwrite" in run("hint", "--sheet", "photo.png", "--out", "mine.png").stderr
    assert (folder / "photo.png").read_bytes() == before
