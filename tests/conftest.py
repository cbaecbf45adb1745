"""One thread a test process: tensors are tiny here, and workers run side by side on few cores."""

from __future__ import annotations

import os

import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the command-line tests' child processes
torch.set_num_threads(1)
