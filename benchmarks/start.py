"""What a whole `controlstack run --demo` takes of the processor, in fresh processes.

With --against, another checkout's time too, in rounds taken in turns, and the ratio of each round:
the folder is one that has the package `controlstack` in it.

Run: python benchmarks/start.py [--rounds 5] [--against FOLDER]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1]
PROGRAM = "from controlstack.cli.main import main; main()"


def seconds(package: str, folder: str) -> float:
    """The processor's seconds, of the program and the system, of one command; `package` is the
    PYTHONPATH, "" for the one that is installed."""
    workflow = HERE / "workflows" / "stack_pose_depth.json"
    words = ["run", str(workflow), "--demo", "--out", folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if package:
        environment["PYTHONPATH"] = package
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        check=True, capture_output=True, env=environment, cwd=folder,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def told(what: str, values: list[float]) -> str:
    """Median, least and most."""
    return f"{what} {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    """Measure and print; the first round, which compiles bytecode, is left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    packages = [os.environ.get("PYTHONPATH", "")]
    if options.against:
        packages.append(str(options.against.resolve()))
    took: dict[str, list[float]] = {package: [] for package in packages}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds + 1):
            for package in packages[:: 1 if turn % 2 else -1]:
                spent = seconds(package, folder)
                if turn:
                    took[package].append(spent)
    mine = took[packages[0]]
    print(told(f"run --demo, CPU seconds of {options.rounds} rounds:", mine))
    if options.against:
        other = took[packages[1]]
        print(told("the other:", other))
        print(told("ratio:", [a / b for a, b in zip(mine, other, strict=True)]))


if __name__ == "__main__":
    main()
