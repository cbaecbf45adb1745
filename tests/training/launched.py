"""What `accelerate launch` runs in tests: a small run to its end, and one in which process 1 gets a
signal after a step. What each process has in the end is left in their folders.

Usage: launched.py FOLDER
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from small_runs import LAUNCHED, Rows, small_run  # beside this script, which is run by its path

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


def run(folder: Path, rows: Rows) -> None:
    """A run of eight steps, two pictures a process."""
    trained = small_run(folder, rows=rows, batch=2, **LAUNCHED)
    state = {"weights": trained.network.state_dict(), "step": trained.step}
    torch.save(state, folder / f"rank-{os.environ['RANK']}.pt")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    run(place / "whole", Rows())
    interrupted = Interrupted()
    if os.environ["RANK"] == "1":
        interrupted.stop = 3
    run(place / "interrupted", interrupted)
