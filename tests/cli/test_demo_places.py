"""Where the demo's results go is looked at before anything is computed; "" names nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.prompts import Run


@pytest.fixture(autouse=True)
def _no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("it was begun")

    monkeypatch.setattr("controlstack.demo.sheet.tasks", work)
    monkeypatch.setattr("controlstack.demo.score_pictures.tasks", work)
    monkeypatch.setattr("controlstack.demo.build.render_scenes", work)
    monkeypatch.setattr("controlstack.demo.training_folder.sample_scene", work)


@pytest.mark.parametrize(
    "command", ["demo", "demo-model data", "demo-model train", "demo-model score"]
)
@pytest.mark.parametrize("out", ["file/a/b", "a" * 300, "file/b.png"])
def test_a_place_that_cannot_be_written(run: Run, folder: Path, command: str, out: str) -> None:
    (folder / "file").touch()
    result = run(*command.split(), "--out", out)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert out in result.stderr
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "command",
    ["demo --out", "demo-model data --out", "demo-model train --out", "demo-model train --work",
     "demo-model score --out", "hint depth a.png --models", "train --models"],
)  # fmt: skip
def test_an_empty_name_is_refused(run: Run, folder: Path, command: str) -> None:
    result = run(*command.split(), "")
    assert result.exit_code == 2
    assert "is empty; name a file or a folder" in result.stderr
    assert list(folder.iterdir()) == []
