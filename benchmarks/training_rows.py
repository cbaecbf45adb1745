"""Training data from tar files beside the same data in a folder: rows a second, and memory.

Each way runs in a process of its own, in turn, several rounds; a figure is the median. First all
rows are listed, twice for tar files: the index is made, and then read. Then rows are decoded in a
random order, as a training does. Times are CPU seconds of the process. Aims: as many rows a second
as from the folder; a kilobyte of memory a row.

Run: python -m benchmarks.training_rows [--rows 1000] [--edge 512] [--shards 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

WAYS = ("folder", "shards, no index", "shards")
READ = 200
"""Rows that are decoded in each round, at most."""


def write_both(folder: Path, shards: Path, rows: int, edge: int, of: int) -> None:
    """`rows` rows as files in `folder` and in `of` tar files in `shards`: JPEG, PNG hint, text."""
    draw = np.random.default_rng(0)
    files: dict[str, bytes] = {}
    for ending, form in ((".jpg", "JPEG"), (".hint.png", "PNG")):
        coarse = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC).save(stream, form)
        files[ending] = stream.getvalue()
    folder.mkdir()
    shards.mkdir()
    for part in range(of):
        with tarfile.open(shards / f"{part:05}.tar", "w") as tar:
            for row in range(rows * part // of, rows * (part + 1) // of):
                named = {**files, ".txt": f"a picture of number {row}".encode()}
                for ending, data in named.items():
                    info = tarfile.TarInfo(f"{row:07}{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                    beside = ending.replace(".hint", "_hint")
                    (folder / f"{row:07}{beside}").write_bytes(data)


def measured(place: Path, edge: int) -> dict[str, float]:
    """Milliseconds to list a row, bytes that it takes, and rows decoded a second."""
    from controlstack.training.data.condition import Condition
    from controlstack.training.data.row_pictures import seen_of
    from controlstack.training.data.rows import read_rows
    from controlstack.training.settings import DataSettings

    settings = DataSettings(path=str(place), resolution=str(edge))
    before, start = _resident(), time.process_time()
    rows = read_rows(settings).good
    listed, held = time.process_time() - start, _resident() - before
    chosen = random.Random(0).sample(rows, min(READ, len(rows)))
    start = time.process_time()
    for row in chosen:
        seen_of(row, settings, Condition(), 0)
    decoded = time.process_time() - start
    return {
        "list": 1000 * listed / len(rows),
        "memory": held / len(rows),
        "rate": len(chosen) / decoded,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def in_process(place: Path, edge: int) -> dict[str, float]:
    """`measured` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.training_rows", "--child", str(place)]
    run = subprocess.run([*command, "--edge", str(edge)], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{place} failed:\n{run.stderr[-3000:]}")
    found: dict[str, float] = json.loads(run.stdout)
    return found


def main() -> None:
    """Measure all ways and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--edge", type=int, default=512, help="pixels of a picture's edge")
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measured(Path(chosen.child), chosen.edge)))
        return
    rounds = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, shards = Path(scratch, "folder"), Path(scratch, "shards")
        write_both(folder, shards, chosen.rows, chosen.edge, chosen.shards)
        for _ in range(chosen.rounds):
            for index in shards.glob("*.index"):
                index.unlink()
            places = (folder, shards, shards)
            found = [in_process(place, chosen.edge) for place in places]
            rounds.append(dict(zip(WAYS, found, strict=True)))
    print("| way | ms to list a row | bytes a row | rows decoded/CPU s | ratio | peak MB |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        median = {key: statistics.median(one[way][key] for one in rounds) for key in rounds[0][way]}
        ratio = statistics.median(one[way]["rate"] / one[WAYS[0]]["rate"] for one in rounds)
        print(
            f"| {way} | {median['list']:.3f} | {median['memory']:.0f} | {median['rate']:.0f} | "
            f"{ratio:.2f} | {median['peak']:.0f} |"
        )


if __name__ == "__main__":
    main()
