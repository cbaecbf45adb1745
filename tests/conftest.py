"""One thread a test process: tensors are tiny here, and workers run side by side on few cores."""

from __future__ import annotations

import os

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the command-line tests' child processes
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """Networks drawn by a test are the same, whatever ran before it."""
    torch.manual_seed(0)
