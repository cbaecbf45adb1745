"""What importing the pack costs ComfyUI at its start, beyond torch. Aim: under 0.1 s.

Run: python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 5
PROGRAM = """
import time
import torch
start = time.perf_counter()
import controlstack
controlstack.NODE_CLASS_MAPPINGS
print(time.perf_counter() - start)
"""


def seconds() -> float:
    """The seconds of one import in a fresh process."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


def main() -> None:
    """Print the median; the first import, which may compile, is left out."""
    seconds()
    rounds = [seconds() for _ in range(ROUNDS)]
    print(
        f"import controlstack after torch: {statistics.median(rounds):.3f} s "
        f"(median of {ROUNDS}, {min(rounds):.3f} to {max(rounds):.3f}; aim 0.1)"
    )


if __name__ == "__main__":
    main()
