"""What `accelerate launch` runs in tests: a small run, whose weights are left in a folder.

Usage: launched.py FOLDER BATCH [STOP], where STOP is the step after which process 1 gets a signal.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from small_runs import Rows, small_run  # beside this script, which is run by its path

from controlstack.training.batch import Batch


class Interrupted(Rows):
    """Raises a signal in its own process when the batch after `stop` steps is asked for."""

    stop = -1

    def load(self, picks: Any, workers: int = 0) -> Any:
        for step, batch in enumerate(super().load(picks, workers)):
            if step == self.stop:
                signal.raise_signal(signal.SIGINT)
            assert isinstance(batch, Batch)
            yield batch


if __name__ == "__main__":
    folder, batch, *stop = sys.argv[1:]
    rows = Interrupted()
    if stop and os.environ.get("RANK") == "1":
        rows.stop = int(stop[0])
    trained = small_run(
        Path(folder), rows=rows, batch=int(batch), steps=8, ema=0.9, timesteps="stratified"
    )
    place = os.environ.get("RANK", "0")
    weights = trained.network.state_dict()
    torch.save({"weights": weights, "step": trained.step}, Path(folder) / f"rank-{place}.pt")
