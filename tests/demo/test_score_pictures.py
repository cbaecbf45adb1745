"""The score's pictures are kept as `controlstack evaluate` takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.demo.score import Picture, Task
from controlstack.demo.score_pictures import lines
from controlstack.ground.errors import UserError


def truth(tasks: Sequence[Task], stack: tuple[str, ...]) -> Iterator[Picture]:
    """What a perfect model would draw with control; without it, nothing."""
    for task in tasks:
        yield task.drawing.rgb if stack else np.zeros_like(task.drawing.rgb)


def test_scores_and_what_was_scored(tmp_path: Path) -> None:
    found = list(lines(truth, 2, tmp_path))
    assert {(one.scenes, one.stack) for one in found} == {
        ("all", "none"), ("all", "canny"), ("all", "depth"), ("all", "canny+depth"),
        ("people", "none"), ("people", "pose"), ("people", "depth"), ("people", "pose+depth"),
    }  # fmt: skip
    for one in found:
        assert one.score.pictures == 2
        assert (one.score.edge_f1 == 1) == (one.stack != "none")
        files = sorted(path.name for path in (tmp_path / one.scenes / one.stack).iterdir())
        assert files == ["1000000.png", "1000001.png"]
    hints = sorted(path.name for path in (tmp_path / "people" / "hints" / "pose").iterdir())
    assert hints == ["1000000.png", "1000001.png"]
    assert set(json.loads((tmp_path / "all" / "prompts.json").read_text())) == {
        "1000000",
        "1000001",
    }
    with Image.open(tmp_path / "all" / "none" / "1000000.png") as image:
        assert not np.asarray(image).any()


def test_nothing_is_written_without_a_folder(tmp_path: Path) -> None:
    assert len(list(lines(truth, 1))) == 8
    assert list(tmp_path.iterdir()) == []


def test_no_more_scenes_than_there_are() -> None:
    with pytest.raises(UserError, match="There are 64 held-out scenes"):
        list(lines(truth, 65))
