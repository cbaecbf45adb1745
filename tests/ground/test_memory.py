"""Memory that is not there is refused before, and named after."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from controlstack.ground import memory
from controlstack.ground.errors import UserError


def test_estimates() -> None:
    memory.require_memory(1e6, "the picture")
    with pytest.raises(UserError, match=r"the picture would take 1000000\.0 GB of memory, and "):
        memory.require_memory(1e15, "the picture")


def _numpy() -> None:
    np.zeros(1 << 55, np.uint8)


def _torch() -> None:
    torch.zeros(1 << 55, dtype=torch.uint8)


def _python() -> None:
    bytearray(1 << 60)


def _opencv() -> None:
    cv2.resize(np.zeros((1, 1, 4), np.float64), (30_000_000, 30_000_000))


@pytest.mark.parametrize("run_out", [_numpy, _torch, _python, _opencv])
def test_every_library_that_runs_out(run_out: object) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  each library has a class of its own
        run_out()  # type: ignore[operator]
    assert memory.is_out_of_memory(raised.value), repr(raised.value)
    said = str(memory.out_of_memory(raised.value, "node 3"))
    assert said.startswith("node 3 ran out of memory")
    assert "GB" in said


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shape"), KeyError()])
def test_other_errors(error: Exception) -> None:
    assert not memory.is_out_of_memory(error)


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (".", ("memory.max", "memory.current", "inactive_file")),
        (
            "memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, folder: str, names: tuple[str, str, str]
) -> None:
    limit, used, cached = names
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / limit).write_text("1000\n")
    (tmp_path / folder / used).write_text("900\n")
    (tmp_path / folder / "memory.stat").write_text(f"anon 5\n{cached} 50\n")
    told = tmp_path / "told"
    told.write_text("12:memory:/\n0::/\n")
    assert list(memory._room_in_groups(tmp_path, told)) == [150]
    inner = tmp_path / folder / "mine"
    inner.mkdir()
    told.write_text("12:memory:/mine\n0::/mine\n")
    for name in (limit, used, "memory.stat"):
        (inner / name).write_text((tmp_path / folder / name).read_text())
    (inner / limit).write_text("960\n")
    assert sorted(memory._room_in_groups(tmp_path, told)) == [110, 150]
    (tmp_path / folder / limit).write_text("max\n")
    assert list(memory._room_in_groups(tmp_path, told)) == [110]
