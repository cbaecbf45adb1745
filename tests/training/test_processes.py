"""Two processes, as `accelerate launch` starts them, against one with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.training.checkpoint import Checkpoints
from tests.training.small_runs import LAUNCHED, small_run

SCRIPT = Path(__file__).parent / "launched.py"
LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes did what `launched.py` says."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, *LAUNCH, str(SCRIPT), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def _left(folder: Path) -> list[dict[str, Any]]:
    """Each process's weights and last step."""
    files = sorted(folder.glob("rank-*.pt"))
    assert [file.name for file in files] == ["rank-0.pt", "rank-1.pt"]
    return [torch.load(file) for file in files]


def test_two_processes_give_the_weights_of_one_with_the_same_global_batch(
    tmp_path: Path, two: Path
) -> None:
    one = small_run(tmp_path, batch=4, **LAUNCHED).network.state_dict()
    first, second = (found["weights"] for found in _left(two / "whole"))
    assert all(torch.equal(first[name], second[name]) for name in one)
    assert all(torch.allclose(first[name], one[name], atol=1e-5) for name in one)
    assert Checkpoints(two / "whole/checkpoints", 3).steps() == [5, 8]
    lines = [
        (folder / "curve.jsonl").read_text().count("\n") for folder in (tmp_path, two / "whole")
    ]
    assert lines == [2, 2]


def test_a_signal_to_one_process_ends_both_at_the_same_step(two: Path) -> None:
    assert [state["step"] for state in _left(two / "interrupted")] == [4, 4]
    assert Checkpoints(two / "interrupted/checkpoints", 3).steps() == [4]
