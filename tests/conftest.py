"""One thread a test process: tensors are tiny here, and workers run side by side on few cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the command-line tests' child processes
torch.set_num_threads(1)

SLOW = {
    *("cli/test_frame.py", "cli/test_train.py", "cli/test_commands.py", "cli/test_evaluate.py"),
    *("demo/test_build.py", "demo/test_build_files.py", "demo/test_sheet.py"),
    *("headless/test_golden.py", "headless/test_training_base.py"),
    *("nodes/test_train_nodes.py", "nodes/test_train_graph.py", "paper/test_paper.py"),
    *("training/test_damage.py", "training/test_killed.py", "training/test_processes.py"),
    *("training/test_resume.py", "training/test_run_files.py", "training/test_loop.py"),
    *("workflows/test_exchange.py", "workflows/test_shipped.py", "workflows/test_templates.py"),
}
"""Files that train, sample or start many processes: what `make test-fast` leaves out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow files in one place."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """Networks drawn by a test are the same, whatever ran before it."""
    torch.manual_seed(0)
