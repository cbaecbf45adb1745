"""What importing the pack costs ComfyUI at its start, beyond torch. Aim: under 0.1 s.

With bytecode, as at every start but the first.

Run: python benchmarks/import_time.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 5
PROGRAM = """
import time
import torch
start = time.perf_counter()
import controlstack
controlstack.NODE_CLASS_MAPPINGS
print(time.perf_counter() - start)
"""


def seconds(bytecode: str) -> float:
    """The seconds of one import in a fresh process that keeps bytecode in a folder."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return float(run.stdout)


def main() -> None:
    """Print the median; the first import, which compiles, is left out."""
    with tempfile.TemporaryDirectory() as bytecode:
        seconds(bytecode)
        rounds = [seconds(bytecode) for _ in range(ROUNDS)]
    print(
        f"import controlstack after torch: {statistics.median(rounds):.3f} s "
        f"(median of {ROUNDS}, {min(rounds):.3f} to {max(rounds):.3f}; aim 0.1)"
    )


if __name__ == "__main__":
    main()
