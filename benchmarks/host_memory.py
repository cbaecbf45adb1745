"""Resident memory of a real ComfyUI over 20 runs: this pack's stack beside the core's own chain.

Each way runs in a process of its own, on small random models. Every run patches the MODEL anew and
brings new hints, two of 768 px (7 MB each): one that stayed behind would show as 140 MB. Aim: no
growth after the first runs, and no more memory than the core's chain.

Run: python benchmarks/host_memory.py COMFYUI [--python ITS_PYTHON] [--docs FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WAYS = ("plain", "core chain", "stack")
RUNS, STEPS, LATENT, HINT = 20, 4, 32, 768
SETTLED = 5  # runs after which allocators have what they need
MEGABYTE = 1e6


def runs(way: str, comfyui: Path) -> Iterator[float]:
    """Sample `RUNS` times in this process; yields its resident megabytes, at first with no run."""
    import psutil

    from tests.comfyui.small import Line, base, chained, hint, net, sample, stack, words

    # In front, but after the line above: both sides have top-level packages of the same names.
    sys.path.insert(0, str(comfyui))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import torch

    from controlstack.model_patch.patch import patch

    torch.set_num_threads(1)
    process = psutil.Process()
    model, nets = base(), (net(5), net(6))
    prompts = words(11), words(12)
    yield process.memory_info().rss / MEGABYTE
    for run in range(RUNS):
        seeds = range(len(nets) * run, len(nets) * (run + 1))
        lines = [Line(n, hint(s, 1, HINT, HINT)) for n, s in zip(nets, seeds, strict=True)]
        given: tuple[Any, ...] = (model, *prompts)
        if way == "core chain":
            given = (model, *chained(*prompts, *lines))
        elif way == "stack":
            given = (patch(model, stack(*lines)), *prompts)
        sample(*given, steps=STEPS, side=LATENT, seed=run)
        yield process.memory_info().rss / MEGABYTE


def measured(way: str, comfyui: Path, python: str) -> list[float]:
    """The same, of a fresh process under ComfyUI's Python."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [python, __file__, str(comfyui), "--way", way]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    figures: list[float] = json.loads(said.stdout.splitlines()[-1])
    return figures


def version(comfyui: Path) -> str:
    """What ComfyUI's source calls itself."""
    said = (comfyui / "comfyui_version.py").read_text().split('"')
    return said[1]


def draw(curves: dict[str, list[float]], name: str, file: Path) -> None:
    """One line a way: megabytes over runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for way, curve in curves.items():
        axes.plot(range(len(curve)), curve, marker=".", label=way)
    axes.set_title(f"Resident memory, two controls, ComfyUI {name} on a CPU")
    axes.set_xlabel("runs done")
    axes.set_ylabel("MB")
    axes.set_xticks(range(0, RUNS + 1, 2))
    axes.set_ylim(0, 1.1 * max(map(max, curves.values())))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=110)


def main() -> None:
    """Measure every way, print, and with --docs write `host-memory.json` and `.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comfyui", type=Path, help="the folder of ComfyUI's source")
    parser.add_argument("--python", default=sys.executable, help="a Python that can run it")
    parser.add_argument("--docs", type=Path, help="where to write the figures and their picture")
    parser.add_argument("--way", choices=WAYS, help="measure one way in this process")
    options = parser.parse_args()
    comfyui = options.comfyui.resolve()
    if options.way:
        print(json.dumps([round(value, 1) for value in runs(options.way, comfyui)]))
        return
    name = version(comfyui)
    print(f"ComfyUI {name}, {RUNS} runs of {STEPS} steps, resident MB")
    curves = {way: measured(way, comfyui, options.python) for way in WAYS}
    for way, curve in curves.items():
        settled = curve[SETTLED:]
        print(
            f"  {way:10}  before {curve[0]:6.0f}   run 1 {curve[1]:6.0f}   run {RUNS} "
            f"{curve[-1]:6.0f}   runs {SETTLED} to {RUNS}: {min(settled):.1f} to {max(settled):.1f}"
        )
    if options.docs:
        figures = {"comfyui": name, "megabytes": curves}
        (options.docs / "host-memory.json").write_text(json.dumps(figures) + "\n")
        draw(curves, name, options.docs / "host-memory.png")


if __name__ == "__main__":
    main()
