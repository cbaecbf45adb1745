"""What a script leaves behind: its figures as JSON, with the command line that made them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs" / "paper"
BEGUN = time.monotonic()


def arguments(words: str, **defaults: int) -> argparse.Namespace:
    """The options of a script, all integers, beside `--work`, `--out` and `--scenes`."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument(
        "--work", type=Path, default=Path("output/paper"), help="keeps what can be used again"
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="gets the figures and the plot")
    parser.add_argument("--scenes", type=int, default=10_000, help="training scenes")
    parser.add_argument("--judge-steps", type=int, default=2400, help="training of the judge")
    parser.add_argument("--reference", type=int, default=1000, help="scenes to compare with")
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    return parser.parse_args()


def write(path: Path, options: argparse.Namespace, rows: Any, **more: Any) -> None:
    """Write `rows` as JSON with all options in force, the machine and the versions."""
    import diffusers
    import torch

    given = {k: v for k, v in vars(options).items() if not isinstance(v, Path)}
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given.items())
    found = {
        "command": f"python -m benchmarks.paper.{Path(sys.argv[0]).stem} {flags}",
        "options": given,
        "machine": f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} thread, no GPU",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "minutes": round((time.monotonic() - BEGUN) / 60, 1),
        **more,
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"wrote {path}", flush=True)
