"""`controlstack convert`: a file in, a file out, a sentence for each chain."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.cli.prompts import WORKFLOWS, Run
from tests.conversion.graphs import applied, drawn, meant, node, same

STACK = WORKFLOWS / "stack_pose_depth.json"


def test_there_and_back(run: Run, folder: Path) -> None:
    (folder / "mine.json").write_text(STACK.read_text(encoding="utf-8"), encoding="utf-8")
    result = run("convert", "mine.json")
    assert (result.exit_code, result.stdout) == (0, "mine-stack.json\n"), result.stderr
    assert "became 2 rows of ControlNet Stack, node " in result.stderr
    result = run("convert", "mine-stack.json", "--to", "nodes", "-o", "sub/back.json")
    assert (result.exit_code, result.stdout) == (0, "sub/back.json\n"), result.stderr
    back, mine = (
        meant(json.loads((folder / name).read_text(encoding="utf-8")))
        for name in ("sub/back.json", "mine.json")
    )
    save = [key for key, one in mine.items() if one["class_type"] == "SaveImage"]
    assert save
    assert all(same(back, key) == same(mine, key) for key in save)


def test_nothing_is_written_over(run: Run, folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps(applied(1)))
    assert run("convert", "a.json").exit_code == 0
    result = run("convert", "a.json")
    assert result.exit_code == 2
    assert "a-stack.json is there already" in result.stderr
    assert run("convert", "a.json", "--overwrite").exit_code == 0
    assert run("convert", "a.json", "--out", "a.json", "--overwrite").exit_code == 2
    assert json.loads((folder / "a.json").read_text()) == applied(1)


def test_what_stays_is_said(run: Run, folder: Path) -> None:
    graph = applied(1)
    graph["20"]["inputs"]["strength"] = ["50", 0]
    graph["50"] = node("PrimitiveFloat", value=1.0)
    (folder / "a.json").write_text(json.dumps(graph))
    result = run("convert", "a.json")
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first == "Error: nothing of a.json is converted"
    assert "its strength comes through a wire" in second
    assert not (folder / "a-stack.json").exists()
    (folder / "b.json").write_text(json.dumps({"1": node("KSampler")}))
    result = run("convert", "b.json")
    assert "it holds no chain of controls that is known" in result.stderr


def test_a_picture_and_a_request(run: Run, folder: Path) -> None:
    texts = PngInfo()
    texts.add_text("prompt", json.dumps(applied(1)))
    texts.add_text("workflow", json.dumps(drawn(applied(1))))
    Image.new("RGB", (8, 8)).save(folder / "a.png", pnginfo=texts)
    (folder / "b.json").write_text(json.dumps({"prompt": applied(1), "client_id": "x"}))
    for name, stem in (("a.png", "a"), ("b.json", "b")):
        assert run("convert", name).exit_code == 0
        made = json.loads((folder / f"{stem}-stack.json").read_text())
        assert "ControlStackRows" in json.dumps(made)
        assert ("nodes" in made) == (stem == "a")
    Image.new("RGB", (8, 8)).save(folder / "c.png")
    assert "holds no workflow" in run("convert", "c.png").stderr
