"""Two processes, as `accelerate launch` starts them, against one with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from controlstack.training.checkpoint import Checkpoints

SCRIPT = Path(__file__).parent / "launched.py"
LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")


def _run(folder: Path, *arguments: str, launch: tuple[str, ...] = ()) -> dict[str, Any]:
    """Each process's weights and last step."""
    folder.mkdir()
    command = [sys.executable, *launch, str(SCRIPT), str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return {file.name: torch.load(file) for file in sorted(folder.glob("rank-*.pt"))}


def test_two_processes_give_the_weights_of_one_with_the_same_global_batch(tmp_path: Path) -> None:
    one = _run(tmp_path / "one", "4")["rank-0.pt"]["weights"]
    two = _run(tmp_path / "two", "2", launch=LAUNCH)
    assert list(two) == ["rank-0.pt", "rank-1.pt"]
    first, second = (found["weights"] for found in two.values())
    assert all(torch.equal(first[name], second[name]) for name in one)
    assert all(torch.allclose(first[name], one[name], atol=1e-5) for name in one)
    assert Checkpoints(tmp_path / "two" / "checkpoints", 3).steps() == [5, 8]
    lines = [(tmp_path / name / "curve.jsonl").read_text().count("\n") for name in ("one", "two")]
    assert lines == [2, 2]


def test_a_signal_to_one_process_ends_both_at_the_same_step(tmp_path: Path) -> None:
    found = _run(tmp_path / "run", "2", "3", launch=LAUNCH)
    assert [state["step"] for state in found.values()] == [4, 4]
    assert Checkpoints(tmp_path / "run" / "checkpoints", 3).steps() == [4]
