"""What `make demo` costs once everything is installed. Aims: 60 s, 1.5 GB at the peak.

Run: python benchmarks/demo_command.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = "from controlstack.cli.main import main; main()"


def main() -> None:
    """Run `controlstack demo` once in a fresh process and print its time and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, "demo", "--out", str(Path(folder) / "demo.png")]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    # KiB on Linux, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9
    print(f"controlstack demo: {seconds:.1f} s (aim 60), peak memory {peak:.2f} GB (aim 1.5)")


if __name__ == "__main__":
    main()
